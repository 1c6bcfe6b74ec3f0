// The list of all kernels, made from ops.def: an op without a kernel does not link.
#include "cuda/cuda.h"

// Leaves and views compute nothing.
const duel_kernel duel_cuda_input = {nullptr, nullptr, nullptr};
const duel_kernel duel_cuda_state = {nullptr, nullptr, nullptr};
const duel_kernel duel_cuda_reshape = {nullptr, nullptr, nullptr};
const duel_kernel duel_cuda_view = {nullptr, nullptr, nullptr};

static const duel_kernel *const table[] = {
#define DUEL_OP(ENUM, name, min_in, max_in, n_out) &duel_cuda_##name,
#include "core/ops/ops.def"
#undef DUEL_OP
};
static_assert(sizeof table / sizeof *table == DUEL_OP_COUNT, "one entry an op, in the order of the enum");

const duel_kernel *duel_cuda_kernel(duel_op op) {
  return table[op]->run ? table[op] : nullptr;
}
