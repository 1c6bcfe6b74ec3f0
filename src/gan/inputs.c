#include "gan/inputs.h"

#include <string.h>

duel_status duel_inputs_add(duel_inputs *all, duel_step_input in, duel_dtype dtype, duel_shape shape, int *var) {
  if (all->n == DUEL_MAX_INPUTS) return duel_fail(DUEL_ERR_INTERNAL, "a step has more than %d inputs", DUEL_MAX_INPUTS);
  DUEL_TRY(duel_vars_add(all->vars, DUEL_ARENA_INPUT, in.name, dtype, shape, &in.var));
  *var = in.var;
  in.name = all->vars->var[in.var].name;
  all->in[all->n++] = in;
  return DUEL_OK;
}

int duel_inputs_find(const duel_inputs *all, const char *name) {
  for (int i = 0; i < all->n; i++)
    if (!strcmp(all->in[i].name, name)) return all->in[i].var;
  return -1;
}

size_t duel_inputs_offset(const duel_inputs *all, int var) {
  return all->vars->var[var].offset - all->vars->var[all->in[0].var].offset;
}

size_t duel_inputs_bytes(const duel_inputs *all) {
  const int last = all->in[all->n - 1].var;
  return (duel_inputs_offset(all, last) + all->vars->var[last].bytes + 3) / 4 * 4;
}

void duel_inputs_fill(const duel_inputs *all, const duel_instant *now, unsigned char *block) {
  for (int i = 0; i < all->n; i++) {
    const duel_step_input *in = &all->in[i];
    if (in->fill) in->fill(in, now, block + duel_inputs_offset(all, in->var));
  }
}
