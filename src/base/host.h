// What this machine offers to this process, whatever computes.
#ifndef DUEL_BASE_HOST_H
#define DUEL_BASE_HOST_H

#include <stddef.h>

#include "base/status.h"

double duel_now(void);       // seconds of a monotonic clock
int duel_host_threads(void); // what affinity, the cgroup's quota and OMP_NUM_THREADS allow; at least 1
// Bytes that can be had yet: what is available, and what the cgroups' limits leave; 0: unknown.
double duel_host_memory(void);
// Whether so many can be had; DEVICE if not: "WHAT needs 598 MiB of memory: only 128 MiB are free; CURE".
duel_status duel_host_room(const char *what, double bytes, const char *cure);
void duel_host_cpu(char *name, size_t n); // "AMD EPYC 9654"

// What the cgroups that the file `cgroups` lists, below the mount `root`, allow; 0: anything. By their names for tests.
int duel_quota_cpus(const char *cgroups, const char *root);
double duel_quota_memory(const char *cgroups, const char *root); // bytes that can be had yet

#endif
