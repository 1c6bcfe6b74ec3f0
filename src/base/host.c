// What this machine offers: CPUs and memory that this process may use, the CPU's name, a clock.
#include "base/host.h"

#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

double duel_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// ---- limits of cgroups
// A limit that one cgroup's folder states, 0: none. second: cgroup 2.
typedef double cgroup_limit(const char *folder, bool second);

// The first two words of a file as numbers, 0 for what is none ("max"); how many words there are.
static int read_numbers(const char *folder, const char *name, double *first, double *second) {
  char path[4200], word[64] = "";
  *first = *second = 0;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "re");
  if (!f) return 0;
  int n = fscanf(f, "%63s %lf", word, second);
  fclose(f);
  *first = atof(word);
  return n;
}

// cgroup 2 has "max 100000" or "150000 100000" in one file, cgroup 1 has two files, with -1 for no quota.
static double cpus_of_cgroup(const char *folder, bool second) {
  double quota, period, unused;
  if (second)
    read_numbers(folder, "cpu.max", &quota, &period);
  else if (read_numbers(folder, "cpu.cfs_quota_us", &quota, &unused) > 0)
    read_numbers(folder, "cpu.cfs_period_us", &period, &unused);
  return quota > 0 && period > 0 ? ceil(quota / period) : 0;
}

// Bytes of files that the kernel drops when memory runs short.
static double cached_in_cgroup(const char *folder, bool second) {
  char path[4200], line[256], name[64];
  double bytes, cached = 0;
  snprintf(path, sizeof path, "%s/memory.stat", folder);
  FILE *f = fopen(path, "re");
  while (f && fgets(line, sizeof line, f)) {
    if (sscanf(line, "%63s %lf", name, &bytes) != 2) continue;
    const char *kind = second ? name : strncmp(name, "total_", 6) ? "" : name + 6;
    if (!strcmp(kind, "inactive_file") || !strcmp(kind, "active_file")) cached += bytes;
  }
  if (f) fclose(f);
  return cached;
}

static double memory_of_cgroup(const char *folder, bool second) {
  double limit, used, unused;
  read_numbers(folder, second ? "memory.max" : "memory.limit_in_bytes", &limit, &unused);
  if (limit <= 0) return 0;
  read_numbers(folder, second ? "memory.current" : "memory.usage_in_bytes", &used, &unused);
  used -= cached_in_cgroup(folder, second);
  if (used > 0) limit -= used;
  return limit > 1 ? limit : 1; // 0 would mean none
}

static double least_of(double a, double b) {
  return a == 0 ? b : b == 0 ? a : a < b ? a : b;
}

// The least limit of a cgroup and all its parents. In a container the path may name one that is not visible here; its
// root then is this container's own.
static double limit_of_path(const char *mount, char *cgroup, bool second, cgroup_limit *of) {
  double least = 0;
  for (;;) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s%s", mount, cgroup);
    least = least_of(least, of(folder, second));
    char *slash = strrchr(cgroup, '/');
    if (!slash) return least;
    *slash = 0;
  }
}

// Lines are "0::/path" (cgroup 2) or "4:cpu,cpuacct:/path" (cgroup 1).
static double limit_of(const char *cgroups, const char *root, const char *controller, cgroup_limit *of) {
  FILE *f = fopen(cgroups, "re");
  if (!f) return 0;
  char line[4096], mount[4096];
  double least = 0;
  while (fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = 0;
    char *names = strchr(line, ':');
    char *cgroup = names ? strchr(names + 1, ':') : NULL;
    if (!cgroup) continue;
    *cgroup++ = 0;
    names++;
    if (*names == 0) {
      snprintf(mount, sizeof mount, "%s", root);
      least = least_of(least, limit_of_path(mount, cgroup, true, of));
    } else {
      bool ours = false;
      for (char *save = NULL, *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save))
        ours = ours || strcmp(name, controller) == 0;
      if (!ours) continue;
      snprintf(mount, sizeof mount, "%s/%s", root, controller);
      least = least_of(least, limit_of_path(mount, cgroup, false, of));
    }
  }
  fclose(f);
  return least;
}

int duel_quota_cpus(const char *cgroups, const char *root) {
  return (int)limit_of(cgroups, root, "cpu", cpus_of_cgroup);
}

double duel_quota_memory(const char *cgroups, const char *root) {
  return limit_of(cgroups, root, "memory", memory_of_cgroup);
}

// ---- memory
// A number in a file of lines, such as "VmSize:     1234 kB"; 0: no such line, or no number.
static double number_in(const char *path, const char *name) {
  char line[256], *end;
  double number = 0;
  FILE *f = fopen(path, "re");
  while (f && fgets(line, sizeof line, f))
    if (!strncmp(line, name, strlen(name))) number = strtod(line + strlen(name), &end);
  if (f) fclose(f);
  return number > 0 && isfinite(number) ? number : 0;
}

// What `ulimit -v` leaves, the size of this process taken off; 0: no limit.
static double limited_memory(void) {
  const double limit = number_in("/proc/self/limits", "Max address space"),
               used = 1024 * number_in("/proc/self/status", "VmSize:");
  return limit > used + 1 ? limit - used : limit > 0 ? 1 : 0;
}

double duel_host_memory(void) {
  double kib, available = 0, swap = 0;
  char line[256];
  FILE *f = fopen("/proc/meminfo", "re");
  while (f && fgets(line, sizeof line, f)) {
    if (sscanf(line, "MemAvailable: %lf", &kib) == 1) available = 1024 * kib;
    if (sscanf(line, "SwapFree: %lf", &kib) == 1) swap = 1024 * kib;
  }
  if (f) fclose(f);
  const double quota = duel_quota_memory("/proc/self/cgroup", "/sys/fs/cgroup");
  return least_of(least_of(available > 0 ? available + swap : 0, quota), limited_memory());
}

duel_status duel_host_room(const char *what, double bytes, const char *cure) {
  const double room = duel_host_memory();
  if (room <= 0 || bytes <= 0.9 * room) return DUEL_OK;
  return duel_fail(DUEL_ERR_DEVICE, "%s needs %.0f MiB of memory: only %.0f MiB are free; %s", what, bytes / 1048576,
                   room / 1048576, cure);
}

// ---- threads
int duel_host_threads(void) {
  cpu_set_t set;
  int threads = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) threads = CPU_COUNT(&set);
  threads = (int)least_of(threads, duel_quota_cpus("/proc/self/cgroup", "/sys/fs/cgroup"));
  const char *omp = getenv("OMP_NUM_THREADS");
  const int asked = omp ? atoi(omp) : 0;
  return asked > 0 ? (int)least_of(threads, asked) : threads;
}

// ---- name
void duel_host_cpu(char *name, size_t n) {
  char text[49] = "";
#if defined(__x86_64__)
  unsigned r[12], a, b, c, d;
  if (__get_cpuid(0x80000000, &a, &b, &c, &d) && a >= 0x80000004) {
    for (unsigned i = 0; i < 3; i++)
      __get_cpuid(0x80000002 + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    memcpy(text, r, 48);
  }
#endif
  size_t end = strlen(text), start = strspn(text, " ");
  while (end > start && text[end - 1] == ' ') end--;
  text[end] = 0;
  snprintf(name, n, "%s", text[start] ? text + start : "CPU");
}
