#include "gan/penalties.h"

#include <stdio.h>

static const duel_penalty rows[] = {{.kind = {.name = NULL}}};
const duel_table duel_penalties = {rows, sizeof *rows, "penalty"};

duel_val duel_penalties_add(duel_step *s, duel_val loss, const duel_penalty_at *at) {
  const duel_recipe *r = s->r;
  for (int i = 0; i < r->n_penalties; i++) {
    const duel_chosen *penalty = &r->penalty[i];
    const duel_penalty *row = (const duel_penalty *)(const void *)penalty->kind;
    const int64_t every = (int64_t)penalty->value[DUEL_PENALTY_EVERY].number[0];
    char name[DUEL_SCALAR_NAME];
    if (!duel_step_every(s, every)) {
      s->forwards += row->passes;
      continue;
    }
    const duel_val value =
        duel_affine(s->g, row->build(s, penalty, at), penalty->value[DUEL_PENALTY_WEIGHT].number[0], 0);
    snprintf(name, sizeof name, "penalty.%.30s", row->kind.name);
    if (at->last) duel_step_report(s, name, NULL, DUEL_MEAN, value, DUEL_REPORT_SUM, 1);
    loss = duel_add(s->g, loss, every > 1 ? duel_affine(s->g, value, (double)every, 0) : value);
  }
  return loss;
}
