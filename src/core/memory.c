// The arenas of a run: one allocation each, all before the first step, so that memory can only run out at the start.
#include <stdio.h>

#include "core/backend.h"

const char *duel_arena_name(duel_arena arena) {
  static const char *const names[DUEL_ARENA_COUNT] = {
      [DUEL_ARENA_PARAM] = "parameters", [DUEL_ARENA_OPT] = "optimizer state", [DUEL_ARENA_BUFFER] = "buffers",
      [DUEL_ARENA_DATA] = "data",        [DUEL_ARENA_INPUT] = "inputs",        [DUEL_ARENA_OUTPUT] = "outputs",
      [DUEL_ARENA_WORK] = "work memory",
  };
  return names[arena];
}

// "3.2 GiB" into a text that lives as long as the caller's.
typedef struct size_text {
  char s[24];
} size_text;

static size_text text_of(size_t bytes) {
  static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double n = (double)bytes;
  int u = 0;
  while (n >= 1024 && u < 4) {
    n /= 1024;
    u++;
  }
  size_text t;
  snprintf(t.s, sizeof t.s, u ? "%.1f %s" : "%.0f %s", n, unit[u]);
  return t;
}

size_t duel_memory_total(const duel_memory *m) {
  size_t all = 0;
  for (int i = 0; i < DUEL_ARENA_COUNT; i++) all += m->bytes[i];
  return all;
}

static duel_status fail_arena(const duel_memory *m, int arena, duel_status status) {
  const char *advice = arena == DUEL_ARENA_WORK   ? "use a smaller batch"
                       : arena == DUEL_ARENA_DATA ? "lower data.limit"
                                                  : "use smaller models";
  return duel_fail(status, "%s needs %s for %s (%s in all): %s; %s", m->api->name, text_of(m->bytes[arena]).s,
                   duel_arena_name((duel_arena)arena), text_of(duel_memory_total(m)).s, duel_last_error(), advice);
}

duel_status duel_memory_open(duel_memory *m, const duel_backend_api *api, duel_backend *b, const duel_vars *vars,
                             size_t work_bytes) {
  return duel_memory_open_lent(m, api, b, vars, work_bytes, NULL);
}

void duel_memory_measure(duel_memory *m, const duel_vars *vars, size_t work_bytes) {
  for (int i = 0; i < DUEL_ARENA_COUNT; i++) m->bytes[i] = i == DUEL_ARENA_WORK ? work_bytes : vars->arena_bytes[i];
}

// A backend compares an arena with what there is; here all of them that lie in the host's memory are, together.
static duel_status check_room(const duel_memory *m) {
  enum { LARGE = 64 << 20 };
  const size_t lent = m->lent ? m->bytes[DUEL_ARENA_DATA] : 0, all = duel_memory_total(m) - lent;
  const double room = m->api->host_memory && m->api->room && all >= LARGE ? m->api->room(m->backend) : 0;
  int largest = DUEL_ARENA_WORK;
  if (room <= 0 || (double)all <= room) return DUEL_OK;
  for (int i = 0; i < DUEL_ARENA_COUNT; i++)
    if (m->bytes[i] > m->bytes[largest] && !(i == DUEL_ARENA_DATA && m->lent)) largest = i;
  return fail_arena(m, largest, duel_fail(DUEL_ERR_DEVICE, "only %.0f MiB are free", room / 1048576));
}

duel_status duel_memory_open_lent(duel_memory *m, const duel_backend_api *api, duel_backend *b, const duel_vars *vars,
                                  size_t work_bytes, void *data) {
  *m = (duel_memory){.api = api, .backend = b, .vars = vars, .lent = data && api->host_memory};
  if (m->lent) m->arena[DUEL_ARENA_DATA] = data;
  duel_memory_measure(m, vars, work_bytes);
  const duel_status room = check_room(m);
  if (room != DUEL_OK) {
    duel_memory_close(m);
    return room;
  }
  for (int i = 0; i < DUEL_ARENA_COUNT; i++) {
    if (!m->bytes[i] || (i == DUEL_ARENA_DATA && m->lent)) continue;
    duel_status status = api->alloc(b, m->bytes[i], &m->arena[i]);
    if (status == DUEL_OK) continue;
    m->arena[i] = NULL;
    status = fail_arena(m, i, status);
    duel_memory_close(m);
    return status;
  }
  return DUEL_OK;
}

void duel_memory_close(duel_memory *m) {
  for (int i = 0; i < DUEL_ARENA_COUNT; i++)
    if (m->arena[i] && !(i == DUEL_ARENA_DATA && m->lent)) m->api->free(m->backend, m->arena[i]);
  *m = (duel_memory){0};
}

void *duel_memory_at(const duel_memory *m, int var) {
  const duel_var *v = &m->vars->var[var];
  return (char *)m->arena[v->arena] + v->offset;
}

duel_status duel_memory_write(duel_memory *m, int var, const void *src) {
  return m->api->upload(m->backend, duel_memory_at(m, var), src, m->vars->var[var].bytes);
}

duel_status duel_memory_read(duel_memory *m, int var, void *dst) {
  return m->api->download(m->backend, dst, duel_memory_at(m, var), m->vars->var[var].bytes);
}
