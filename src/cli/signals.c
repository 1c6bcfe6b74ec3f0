// Signals that end the command. They are caught from its first line on: process 1 of a container has no default action,
// so that the kernel drops what it does not catch.
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

void duel_cli_end_by(int signo) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  sigset_t own;
  duel_remove_unfinished();
  sigemptyset(&own);
  sigaddset(&own, signo);
  sigaction(signo, &standard, NULL);
  raise(signo); // by the signal itself, so that the loop of a shell ends as well
  pthread_sigmask(SIG_UNBLOCK, &own, NULL);
  _exit(128 + signo); // process 1 outlives its own signal
}

void duel_cli_catch(int signo, void (*handler)(int signo)) {
  struct sigaction a = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigfillset(&a.sa_mask);
  sigaction(signo, &a, NULL);
}

void duel_cli_catch_ends(void (*handler)(int signo)) {
  struct sigaction was;
  duel_cli_catch(SIGINT, handler);
  duel_cli_catch(SIGTERM, handler);
  if (sigaction(SIGHUP, NULL, &was) == 0 && was.sa_handler != SIG_IGN) duel_cli_catch(SIGHUP, handler); // nohup holds
}
