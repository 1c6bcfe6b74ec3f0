// The CPU backends: duel_cpu_backend (float32, the best level of this machine) and duel_cpu_f64_backend (the same
// kernels in double, for tests). Device memory is host memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "cpu/cpu.h"
#include "cpu/entry.h"

typedef const duel_cpu_kernel *const kernel_table[DUEL_OP_COUNT];
#if defined(__x86_64__)
extern kernel_table duel_cpu_table_v2, duel_cpu_table_v3, duel_cpu_table_v4, duel_cpu_table_v3_bf16,
    duel_cpu_table_v4_bf16;
static const duel_cpu_kernel *const *const tables[DUEL_LEVEL_COUNT] = {
    [DUEL_LEVEL_V2] = duel_cpu_table_v2, [DUEL_LEVEL_V3] = duel_cpu_table_v3, [DUEL_LEVEL_V4] = duel_cpu_table_v4};
// With products in bf16, where the level is at least v3: without and with the CPU's own instructions for them.
static const duel_cpu_kernel *const *const bf16_tables[2] = {duel_cpu_table_v3_bf16, duel_cpu_table_v4_bf16};
#else
extern kernel_table duel_cpu_table_portable;
static const duel_cpu_kernel *const *const tables[DUEL_LEVEL_COUNT] = {[DUEL_LEVEL_PORTABLE] = duel_cpu_table_portable};
static const duel_cpu_kernel *const *const bf16_tables[2] = {NULL, NULL};
#endif
extern kernel_table duel_cpu_table_f64;

struct duel_backend {
  const duel_cpu_kernel *const *table;
  duel_team *team;
  const char *remark; // for people, behind the identity
  char text[256], identity[128];
};

enum { MAX_THREADS = 1024 };

// The kernels for options->precision at a level, and what they are called.
static duel_status choose_table(duel_backend *b, const char *precision, duel_dtype real) {
  duel_level level = DUEL_LEVEL_PORTABLE;
  char blas[96];
  const bool bf16 = precision && strcmp(precision, "bf16") == 0;
  if (precision && !bf16 && strcmp(precision, "auto") != 0 && strcmp(precision, "fp32") != 0)
    return duel_fail(DUEL_ERR_USAGE,
                     "precision: the cpu backend computes in fp32 or bf16, not in %s; set run.precision to one of them",
                     precision);
  duel_blas_describe(blas, sizeof blas);
  if (real == DUEL_F64) {
    if (bf16) return duel_fail(DUEL_ERR_USAGE, "precision: the cpu-f64 backend computes in double precision alone");
    b->table = duel_cpu_table_f64;
    snprintf(b->identity, sizeof b->identity, "double precision, %s", blas);
    return DUEL_OK;
  }
  DUEL_TRY(duel_level_choose(&level));
  if (!bf16) {
    b->table = tables[level];
    snprintf(b->identity, sizeof b->identity, "%s, %s", duel_level_name(level), blas);
    return DUEL_OK;
  }
  if (level < DUEL_LEVEL_V3)
    return duel_fail(DUEL_ERR_USAGE,
                     "precision: bf16 on a CPU needs x86-64-v3 (AVX2), and %s %s; take run.precision=fp32",
                     getenv("DUEL_CPU_ISA") ? "DUEL_CPU_ISA asks for" : "this is", duel_level_name(level));
  const bool native = level == DUEL_LEVEL_V4 && duel_cpu_has_bf16();
  b->table = bf16_tables[native];
  b->remark = native ? " by AVX512-BF16" : " without AVX512-BF16, slower than fp32";
  snprintf(b->identity, sizeof b->identity, "%s, products of bf16", duel_level_name(native ? level : DUEL_LEVEL_V3));
  return DUEL_OK;
}

static void start_thread(void) {
  (void)duel_blas_enter(); // for good
}

static duel_status open_with(duel_backend *b, const duel_backend_options *options, duel_dtype real, int threads) {
  DUEL_TRY(choose_table(b, options->precision, real));
  char cpu[64];
  duel_host_cpu(cpu, sizeof cpu);
  snprintf(b->text, sizeof b->text, "%s, %d thread%s, %s%s", cpu, threads, threads == 1 ? "" : "s", b->identity,
           b->remark);
  return duel_team_open(&b->team, threads, start_thread);
}

static duel_status open_as(duel_backend **out, const duel_backend_options *options, duel_dtype real) {
  *out = NULL;
  if (options->threads < 0 || options->threads > MAX_THREADS)
    return duel_fail(DUEL_ERR_USAGE, "threads: %d is not in 1 … %d (0 takes what this machine allows)",
                     options->threads, MAX_THREADS);
  const int threads = options->threads > 0 ? options->threads : duel_host_threads();
  DUEL_TRY(duel_blas_open(real, threads));
  duel_backend *b = duel_calloc(1, sizeof *b);
  if (!b) return duel_fail_memory("the cpu backend", sizeof *b);
  b->remark = "";
  const duel_status status = open_with(b, options, real, threads);
  if (status != DUEL_OK) {
    duel_free(b);
    return status;
  }
  *out = b;
  return DUEL_OK;
}

static duel_status open_f32(duel_backend **b, const duel_backend_options *options) {
  return open_as(b, options, DUEL_F32);
}

static duel_status open_f64(duel_backend **b, const duel_backend_options *options) {
  return open_as(b, options, DUEL_F64);
}

static void cpu_close(duel_backend *b) {
  duel_team_close(b->team);
  duel_free(b);
}

static const char *cpu_describe(duel_backend *b) {
  return b->text;
}

static const char *cpu_identity(duel_backend *b) {
  return b->identity;
}

const duel_cpu_kernel *duel_cpu_kernel_of(const duel_backend *b, duel_op op) {
  return b->table[op];
}

static bool cpu_has(duel_backend *b, duel_op op) {
  return duel_cpu_kernel_of(b, op) != NULL;
}

static size_t cpu_scratch(duel_backend *b, const duel_call *call) {
  const duel_cpu_kernel *kernel = duel_cpu_kernel_of(b, call->op);
  return kernel->scratch ? kernel->scratch(call) : 0;
}

static double cpu_room(duel_backend *b) {
  (void)b;
  return duel_host_memory();
}

// The kernel promises more than it has and kills whom it must disappoint, so a large arena is compared with what there
// is first. Arenas of some size ask for huge pages: 2 to 3 % of a step, which walks through more pages than a TLB
// knows.
static duel_status cpu_alloc(duel_backend *b, size_t bytes, void **p) {
  enum { LARGE = 64 << 20, HUGE_PAGE = 2 << 20, HUGE = 2 * HUGE_PAGE };
  const double room = bytes >= LARGE ? cpu_room(b) : 0;
  if (room > 0 && (double)bytes > room) return duel_fail(DUEL_ERR_DEVICE, "only %.0f MiB are free", room / 1048576);
  const bool huge = bytes >= HUGE;
  *p = duel_malloc_aligned(huge ? HUGE_PAGE : DUEL_ALIGN, bytes > 0 ? bytes : 1);
  if (!*p) return duel_fail_memory("an arena", bytes);
#ifdef MADV_HUGEPAGE
  if (huge) (void)madvise(*p, bytes, MADV_HUGEPAGE);
#endif
  memset(*p, 0, bytes);
  return DUEL_OK;
}

static void cpu_free(duel_backend *b, void *p) {
  (void)b;
  duel_free(p);
}

static duel_status cpu_copy(duel_backend *b, void *dst, const void *src, size_t bytes) {
  (void)b;
  if (bytes > 0) memcpy(dst, src, bytes);
  return DUEL_OK;
}

static duel_status cpu_prepare(duel_backend *b, duel_call *calls, const int *group_end, int n_groups, void *ring,
                               void **program) {
  (void)ring; // nothing runs ahead
  duel_program *p;
  const duel_status status = duel_program_make(&p, b->table, calls, group_end, n_groups);
  *program = p;
  return status;
}

static duel_status cpu_run(duel_backend *b, void *program) {
  duel_program_run(program, b->team);
  return DUEL_OK;
}

static duel_status cpu_profile(duel_backend *b, void *program, double *seconds) {
  return duel_program_profile(program, b->team, seconds);
}

static void cpu_release(duel_backend *b, void *program) {
  (void)b;
  duel_program_free(program);
}

#define CPU_API(label, type, opener)                                                                                   \
  {                                                                                                                    \
    .name = label, .real = type, .host_memory = true, .open = opener, .close = cpu_close, .describe = cpu_describe,    \
    .identity = cpu_identity, .has = cpu_has, .scratch = cpu_scratch, .room = cpu_room, .alloc = cpu_alloc,            \
    .free = cpu_free, .upload = cpu_copy, .download = cpu_copy, .prepare = cpu_prepare, .run = cpu_run,                \
    .release = cpu_release, .profile = cpu_profile                                                                     \
  }

const duel_backend_api duel_cpu_backend = CPU_API("cpu", DUEL_F32, open_f32);
const duel_backend_api duel_cpu_f64_backend = CPU_API("cpu-f64", DUEL_F64, open_f64);
