// The instruction set levels that kernels are compiled for, and which of them this CPU runs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

bool duel_cpu_has_bf16(void) {
  __builtin_cpu_init();
  return duel_level_runs(DUEL_LEVEL_V4) && __builtin_cpu_supports("avx512bf16");
}
#else
bool duel_level_runs(duel_level level) {
  return level == DUEL_LEVEL_PORTABLE;
}

bool duel_cpu_has_bf16(void) {
  return false;
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
