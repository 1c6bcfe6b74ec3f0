#include "gan/inputs.h"

duel_status duel_inputs_add(duel_inputs *all, duel_step_input in, duel_dtype dtype, duel_shape shape, int *var) {
  if (all->n == DUEL_MAX_INPUTS) return duel_fail(DUEL_ERR_INTERNAL, "a step has more than %d inputs", DUEL_MAX_INPUTS);
  DUEL_TRY(duel_vars_add(all->vars, DUEL_ARENA_INPUT, in.name, dtype, shape, &in.var));
  in.offset =
      all->vars->var[in.var].offset - (all->n ? all->vars->var[all->in[0].var].offset : all->vars->var[in.var].offset);
  *var = in.var;
  all->in[all->n++] = in;
  return DUEL_OK;
}

size_t duel_inputs_bytes(const duel_inputs *all) {
  const duel_step_input *last = &all->in[all->n - 1];
  return (last->offset + all->vars->var[last->var].bytes + 3) / 4 * 4;
}

void duel_inputs_fill(const duel_inputs *all, const duel_moment *now, unsigned char *block) {
  for (int i = 0; i < all->n; i++)
    if (all->in[i].fill) all->in[i].fill(&all->in[i], now, block + all->in[i].offset);
}
