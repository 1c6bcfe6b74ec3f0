// The kernels of one level, made from ops.def: an op without a kernel does not link. Products have their own at levels
// of bf16.
#include "cpu/kernels/cpu_kernel.h"

#define DUEL_ENTRY_NONE(name) NULL
#define DUEL_ENTRY_PLAIN(name) &DUEL_CPU_PLAIN(name)
#define DUEL_ENTRY_PRODUCT(name) &DUEL_CPU_NAME(name)

const duel_cpu_kernel *const DUEL_CPU_NAME(table)[DUEL_OP_COUNT] = {
#define DUEL_OP(ENUM, name, KIND, min_in, max_in, n_out) [DUEL_OP_##ENUM] = DUEL_ENTRY_##KIND(name),
#include "core/ops/ops.def"
#undef DUEL_OP
};
