// What this machine offers to this process, whatever computes.
#ifndef DUEL_BASE_HOST_H
#define DUEL_BASE_HOST_H

#include <stddef.h>

double duel_now(void);         // seconds of a monotonic clock
int duel_host_threads(void);   // what affinity, the cgroup's quota and OMP_NUM_THREADS allow; at least 1
double duel_host_memory(void); // bytes that can be had yet: what is available and the cgroup's limit; 0: unknown
void duel_host_cpu(char *name, size_t n); // "AMD EPYC 9654"

// The limits of the cgroups that the file `cgroups` lists, below the mount `root`; 0: none. By their names for tests.
int duel_quota_cpus(const char *cgroups, const char *root);
double duel_quota_memory(const char *cgroups, const char *root); // bytes

#endif
