// The list of all kernels, made from ops.def: an op without a kernel does not link.
#include "cuda/cuda.h"

#define DUEL_ENTRY_NONE(name) nullptr
#define DUEL_ENTRY_PLAIN(name) &duel_cuda_##name
#define DUEL_ENTRY_PRODUCT(name) &duel_cuda_##name

static const duel_cuda_kernel *const table[] = {
#define DUEL_OP(ENUM, name, KIND, min_in, max_in, n_out) DUEL_ENTRY_##KIND(name),
#include "core/ops/ops.def"
#undef DUEL_OP
};
static_assert(sizeof table / sizeof *table == DUEL_OP_COUNT, "one entry an op, in the order of the enum");

const duel_cuda_kernel *duel_cuda_kernel_of(duel_op op) {
  return table[op];
}
