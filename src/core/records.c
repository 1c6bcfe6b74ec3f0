// The table of all op records, in the order of ops.def.
#include "core/ops/op.h"

const duel_op_record *const duel_op_records[DUEL_OP_COUNT] = {
#define DUEL_OP(ENUM, name, KIND, min_in, max_in, n_out) [DUEL_OP_##ENUM] = &duel_record_##name,
#include "core/ops/ops.def"
#undef DUEL_OP
};

#define DUEL_OP(ENUM, name, KIND, min_in, max_in, n_out)                                                               \
  _Static_assert((n_out) >= 1 && (n_out) <= DUEL_MAX_OUT && (min_in) >= 0, "arity of " #name);
#include "core/ops/ops.def"
#undef DUEL_OP

const char *duel_op_name(duel_op op) {
  return duel_op_records[op]->name;
}
