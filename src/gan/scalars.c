#include "gan/scalars.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int duel_scalars_index(duel_scalars *s, const char *name, const char *label, duel_scalar_mode mode) {
  for (int i = 0; i < s->n; i++)
    if (!strcmp(s->at[i].name, name)) return i;
  if (s->n == DUEL_MAX_SCALARS) return -1;
  snprintf(s->at[s->n].name, sizeof s->at[s->n].name, "%s", name);
  s->at[s->n].label = label;
  s->at[s->n].mode = mode;
  return s->n++;
}

static void begin(duel_scalars *s) {
  for (int i = 0; i < s->n && s->ended; i++) {
    s->at[i].sum = 0;
    s->at[i].steps = 0;
  }
  s->ended = false;
}

void duel_scalars_put(duel_scalars *s, int index, double value) {
  begin(s);
  s->at[index].last = value;
  s->at[index].sum += value;
  s->at[index].steps++;
}

duel_status duel_scalars_tell(duel_scalars *s, const char *name, const char *label, double value) {
  const int index = duel_scalars_index(s, name, label, DUEL_LAST);
  if (index < 0) return duel_fail(DUEL_ERR_INTERNAL, "a run has more than %d scalars", DUEL_MAX_SCALARS);
  duel_scalars_put(s, index, value);
  return DUEL_OK;
}

duel_status duel_scalars_take(duel_scalars *s, const float *src, uint64_t set, int64_t step) {
  for (int i = 0; i < s->n; i++)
    if ((set >> i & 1) && !isfinite(src[i]))
      return duel_fail(DUEL_ERR_DIVERGED, "training diverged in step %lld: %s is %s; try a lower optim.lr",
                       (long long)step, s->at[i].name, isnan(src[i]) ? "not a number" : "infinite");
  for (int i = 0; i < s->n; i++)
    if (set >> i & 1) duel_scalars_put(s, i, s->at[i].mode == DUEL_ROOT_LAST ? sqrt((double)src[i]) : (double)src[i]);
  return DUEL_OK;
}

int duel_scalars_list(duel_scalars *s, const duel_scalar **list) {
  int n = 0;
  for (int i = 0; i < s->n; i++) {
    if (s->at[i].steps == 0) continue;
    const double value = s->at[i].mode == DUEL_MEAN ? s->at[i].sum / (double)s->at[i].steps : s->at[i].last;
    s->shown[n++] = (duel_scalar){.name = s->at[i].name, .label = s->at[i].label, .value = value};
  }
  *list = s->shown;
  return n;
}

void duel_scalars_tick(duel_scalars *s) {
  s->ended = true;
}
