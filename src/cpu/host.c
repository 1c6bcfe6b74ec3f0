// What this machine offers: instruction set level, CPUs that this process may use, the CPU's name.
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

// ---- levels ---------------------------------------------------------------------------------------------------------
static const char *const level_name[DUEL_LEVEL_COUNT] = {"portable", "x86-64-v2", "x86-64-v3", "x86-64-v4"};

const char *duel_level_name(duel_level level) {
  return level_name[level];
}

#if defined(__x86_64__)
// The bits that __builtin_cpu_supports does not know in all compilers.
static bool has_lzcnt_movbe_f16c(void) {
  unsigned a, b, c = 0, d, extended = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !__get_cpuid(0x80000001, &a, &b, &extended, &d)) return false;
  return (c >> 22 & 1) && (c >> 29 & 1) && (extended >> 5 & 1);
}

// The builtin also asks whether the operating system saves the wide registers.
bool duel_level_runs(duel_level level) {
  __builtin_cpu_init();
  const bool v2 = __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
                  __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  const bool v3 = v2 && __builtin_cpu_supports("avx") && __builtin_cpu_supports("avx2") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") &&
                  has_lzcnt_movbe_f16c();
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  switch (level) {
  case DUEL_LEVEL_V2:
    return v2;
  case DUEL_LEVEL_V3:
    return v3;
  case DUEL_LEVEL_V4:
    return v4;
  default:
    return false;
  }
}
#else
bool duel_level_runs(duel_level level) {
  return level == DUEL_LEVEL_PORTABLE;
}
#endif

duel_status duel_level_choose(duel_level *level) {
  char runs[64] = ""; // "v2, v3"
  int best = -1, asked = -1;
  const char *isa = getenv("DUEL_CPU_ISA");
  for (int i = 0; i < DUEL_LEVEL_COUNT; i++) {
    if (!duel_level_runs((duel_level)i)) continue;
    const char *name = i == DUEL_LEVEL_PORTABLE ? level_name[i] : level_name[i] + strlen("x86-64-");
    const size_t used = strlen(runs);
    snprintf(runs + used, sizeof runs - used, "%s%s", used ? ", " : "", name);
    if (isa && strcmp(isa, name) == 0) asked = i;
    best = i;
  }
  if (best < 0) return duel_fail(DUEL_ERR_DEVICE, "this CPU lacks x86-64-v2 (SSE4.2), which the kernels need at least");
  if (isa && *isa && asked < 0)
    return duel_fail(DUEL_ERR_USAGE, "DUEL_CPU_ISA=%s is not a level that this CPU runs: %s", isa, runs);
  *level = (duel_level)(asked >= 0 ? asked : best);
  return DUEL_OK;
}

// ---- threads --------------------------------------------------------------------------------------------------------
static int ceil_cpus(double quota, double period) {
  if (!(quota > 0) || !(period > 0)) return 0;
  const double cpus = quota / period;
  const int whole = (int)cpus;
  return cpus > whole ? whole + 1 : whole;
}

// Reads one group's quota: cgroup 2 has "max 100000" or "150000 100000" in one file, cgroup 1 has two files.
static int quota_of_group(const char *folder, bool second) {
  char path[4200], word[64];
  double quota = 0, period = 0;
  snprintf(path, sizeof path, "%s/%s", folder, second ? "cpu.max" : "cpu.cfs_quota_us");
  FILE *f = fopen(path, "re");
  if (!f) return 0;
  if (fscanf(f, "%63s %lf", word, &period) < 1) word[0] = 0;
  fclose(f);
  quota = atof(word); // "max" and -1 are no quota
  if (second) return ceil_cpus(quota, period);
  snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
  f = fopen(path, "re");
  if (!f) return 0;
  if (fscanf(f, "%lf", &period) != 1) period = 0;
  fclose(f);
  return ceil_cpus(quota, period);
}

static int least_of(int a, int b) {
  return a == 0 ? b : b == 0 ? a : a < b ? a : b;
}

// The least quota of a group and all its parents. In a container the path may name a group that is not visible here;
// its root then is this container's own group.
static int quota_of_path(const char *mount, char *group, bool second) {
  int least = 0;
  for (;;) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s%s", mount, group);
    least = least_of(least, quota_of_group(folder, second));
    char *slash = strrchr(group, '/');
    if (!slash) return least;
    *slash = 0;
  }
}

// Lines are "0::/path" (cgroup 2) or "4:cpu,cpuacct:/path" (cgroup 1).
int duel_quota_cpus(const char *cgroups, const char *root) {
  FILE *f = fopen(cgroups, "re");
  if (!f) return 0;
  char line[4096], mount[4096];
  int least = 0;
  while (fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = 0;
    char *names = strchr(line, ':');
    char *group = names ? strchr(names + 1, ':') : NULL;
    if (!group) continue;
    *group++ = 0;
    names++;
    if (*names == 0) {
      snprintf(mount, sizeof mount, "%s", root);
      least = least_of(least, quota_of_path(mount, group, true));
    } else {
      bool cpu = false;
      for (char *save = NULL, *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save))
        cpu = cpu || strcmp(name, "cpu") == 0;
      if (!cpu) continue;
      snprintf(mount, sizeof mount, "%s/cpu", root);
      least = least_of(least, quota_of_path(mount, group, false));
    }
  }
  fclose(f);
  return least;
}

int duel_cpu_threads(void) {
  cpu_set_t set;
  int threads = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) threads = CPU_COUNT(&set);
  threads = least_of(threads, duel_quota_cpus("/proc/self/cgroup", "/sys/fs/cgroup"));
  const char *omp = getenv("OMP_NUM_THREADS");
  const int asked = omp ? atoi(omp) : 0;
  return asked > 0 ? least_of(threads, asked) : threads;
}

// ---- name -----------------------------------------------------------------------------------------------------------
void duel_cpu_model(char *name, size_t n) {
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
