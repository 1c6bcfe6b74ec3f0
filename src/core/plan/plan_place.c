// Where values live: which of them share a buffer, how long buffers live, and where they lie.
//
// A class is a set of values in one buffer, each at an offset. A buffer lives from the group that first writes any of
// them to the group that last reads one. Values join a class in three ways:
//
//   view     reshapes and views show another value (they were resolved to roots before)
//   pack     its inputs are written directly into the slab, where nothing speaks against it
//   inplace  an element-wise result takes the place of an input that nobody needs any more
//
// Buffers whose lives overlap never overlap in memory. The layout is greedy by several measures of size, the lowest or
// the tightest gap first; the smallest of them all wins. (Dynamic storage allocation is NP-hard; greedy by size comes
// within a few percent of the floor on networks: Pisarchyk & Lee 2020, arXiv:2001.03288.)
#include <stdlib.h>
#include <string.h>

#include "core/ops/op.h"
#include "core/plan/planner.h"

static size_t aligned(size_t bytes) {
  return (bytes + DUEL_ALIGN - 1) & ~(size_t)(DUEL_ALIGN - 1);
}
static size_t bytes_of(const duel_graph *g, duel_val v) {
  return (size_t)duel_shape_count(g->value[v].shape) * duel_dtype_size(g->value[v].dtype);
}

// ---- classes: union-find over values, each with its offset in its parent
typedef struct duel_value_class {
  duel_val parent;
  size_t offset; // bytes into the parent
  // of a class, kept at its top:
  size_t bytes;
  int first, last; // groups
  int32_t user;    // the one task that touches it in its last group, or -1: several
} value_class;

static duel_val top_of(value_class *c, duel_val v, size_t *offset) {
  size_t sum = 0;
  for (; c[v].parent != v; v = c[v].parent) sum += c[v].offset;
  *offset = sum;
  return v;
}

static void touch(value_class *c, int group, int32_t task) {
  if (group < c->first) c->first = group;
  if (group > c->last) {
    c->last = group;
    c->user = task;
  } else if (group == c->last && c->user != task) {
    c->user = -1;
  }
}

// Class `from` (a top) comes to lie at `offset` of class `to` (a top).
static void join(value_class *c, duel_val from, duel_val to, size_t offset) {
  c[from].parent = to;
  c[from].offset = offset;
  if (c[from].first < c[to].first) c[to].first = c[from].first;
  touch(&c[to], c[from].last, c[from].user);
}

static bool in_work(const duel_planner *p, duel_val v) {
  return p->g->value[p->root[v]].var < 0;
}

static void find_lives(const duel_planner *p, value_class *c) {
  const duel_graph *g = p->g;
  for (int v = 0; v < g->n_values; v++)
    c[v] = (value_class){.parent = v, .bytes = bytes_of(g, v), .first = INT32_MAX, .last = -1, .user = -1};
  for (int s = 0; s < p->n; s++) {
    const duel_node *n = p->task[s];
    for (int k = 0; k < n->n_out; k++) touch(&c[n->out[k]], p->group[s], s);
    for (int k = 0; k < n->n_in; k++) touch(&c[p->root[n->in[k]]], p->group[s], s);
  }
}

// The inputs of a pack that can be written in place: whole buffers of their own, at an aligned offset.
static void join_pack(const duel_planner *p, const duel_node *pack, value_class *c) {
  size_t size = duel_dtype_size(p->g->value[pack->out[0]].dtype), at, offset;
  duel_val slab = top_of(c, pack->out[0], &at);
  for (int i = 0; i < pack->n_in; i++) {
    duel_val v = pack->in[i];
    if (!in_work(p, v) || p->shift[v]) continue;
    duel_val top = top_of(c, p->root[v], &offset);
    size_t place = (size_t)pack->attr.pack.offset[i] * size;
    if (offset || top == slab || c[top].bytes != bytes_of(p->g, v) || place % DUEL_ALIGN) continue;
    join(c, top, slab, at + place);
  }
}

// May output 0 of task s lie on input i? Only if the input is its whole class, this task is the
// last to touch it, and no other input shows the class in another way.
static bool may_overwrite(const duel_planner *p, value_class *c, int s, int i) {
  const duel_graph *g = p->g;
  const duel_node *n = p->task[s];
  duel_val x = n->in[i], y = n->out[0];
  size_t offset, bytes = bytes_of(g, y);
  if (!in_work(p, x) || g->value[x].dtype != g->value[y].dtype || bytes_of(g, x) != bytes || p->shift[x]) return false;
  duel_val top = top_of(c, p->root[x], &offset);
  if (offset || c[top].bytes != bytes || c[top].user != s) return false;
  for (int k = 0; k < n->n_in; k++) {
    duel_val other = n->in[k];
    if (in_work(p, other) && top_of(c, p->root[other], &offset) == top &&
        (offset + p->shift[other] || bytes_of(g, other) != bytes))
      return false;
  }
  duel_val place = top_of(c, y, &offset);
  return place != top && (c[place].bytes == bytes || c[place].first <= c[top].first); // no slab lives longer for it
}

static void join_inplace(const duel_planner *p, int s, value_class *c) {
  const duel_node *n = p->task[s];
  if (!(duel_op_records[n->op]->flags & DUEL_FLAG_INPLACE)) return;
  for (int i = 0; i < n->n_in; i++)
    if (may_overwrite(p, c, s, i)) {
      size_t at, offset;
      duel_val place = top_of(c, n->out[0], &at);
      join(c, top_of(c, p->root[n->in[i]], &offset), place, at);
      return;
    }
}

typedef struct duel_rank { // a buffer's turn
  double key;
  int buffer;
} rank;

// ---- buffers
static duel_status get_room(duel_planner *p) {
  size_t values = (size_t)p->g->n_values, most = values + (size_t)p->n;
  p->class = duel_planner_alloc(p, values, sizeof *p->class);
  p->buffer_of = duel_planner_alloc(p, values, sizeof *p->buffer_of);
  p->at = duel_planner_alloc(p, values, sizeof *p->at);
  p->scratch_of = duel_planner_alloc(p, (size_t)p->n, sizeof *p->scratch_of);
  p->buffer = duel_planner_alloc(p, most, sizeof *p->buffer);
  p->rank = duel_planner_alloc(p, most, sizeof *p->rank);
  p->change = duel_planner_alloc(p, (size_t)p->n + 1, sizeof *p->change);
  bool all = p->class && p->buffer_of && p->at && p->scratch_of && p->buffer && p->rank && p->change;
  return all ? DUEL_OK : DUEL_ERR_DEVICE;
}

static duel_status add_buffer(duel_planner *p, size_t bytes, int first, int last, int32_t *id) {
  if (bytes > PTRDIFF_MAX - DUEL_ALIGN || __builtin_add_overflow(p->bytes, aligned(bytes), &p->bytes) ||
      p->bytes > PTRDIFF_MAX)
    return duel_fail(DUEL_ERR_DEVICE, "the step needs more work memory than can be addressed; use a smaller batch");
  *id = p->n_buffers++;
  p->buffer[*id] = (duel_buffer){.bytes = aligned(bytes), .first = first, .last = last};
  return DUEL_OK;
}

static void find_floor(duel_planner *p) {
  size_t *change = p->change, alive = 0; // unsigned: a sum may wrap on its way and is right in the end
  memset(change, 0, ((size_t)p->n_groups + 1) * sizeof *change);
  for (int i = 0; i < p->n_buffers; i++) {
    change[p->buffer[i].first] += p->buffer[i].bytes;
    change[p->buffer[i].last + 1] -= p->buffer[i].bytes;
  }
  p->floor = 0;
  for (int i = 0; i < p->n_groups; i++) {
    alive += change[i];
    if (alive > p->floor) p->floor = alive;
  }
}

duel_status duel_planner_lives(duel_planner *p, bool reuse) {
  const duel_graph *g = p->g;
  if (!p->class) DUEL_TRY(get_room(p));
  value_class *c = p->class;
  find_lives(p, c);
  if (reuse) {
    for (int s = 0; s < p->n; s++)
      if (p->task[s]->op == DUEL_OP_PACK) join_pack(p, p->task[s], c);
    for (int s = 0; s < p->n; s++) join_inplace(p, s, c);
  }
  p->n_buffers = 0;
  p->bytes = 0;
  int end = p->n_groups - 1;
  for (int v = 0; v < g->n_values; v++) p->buffer_of[v] = -1;
  for (int v = 0; v < g->n_values; v++)
    if (p->root[v] == v && in_work(p, v) && c[v].parent == v)
      DUEL_TRY(add_buffer(p, c[v].bytes, reuse ? c[v].first : 0, reuse ? c[v].last : end, &p->buffer_of[v]));
  for (int v = 0; v < g->n_values; v++) {
    size_t offset = 0;
    if (in_work(p, v)) p->buffer_of[v] = p->buffer_of[top_of(c, p->root[v], &offset)];
    p->at[v] = offset + p->shift[v];
  }
  for (int s = 0; s < p->n; s++) {
    p->scratch_of[s] = -1;
    int first = reuse ? p->group[s] : 0, last = reuse ? p->group[s] : end;
    if (p->scratch[s]) DUEL_TRY(add_buffer(p, p->scratch[s], first, last, &p->scratch_of[s]));
  }
  find_floor(p);
  return DUEL_OK;
}

// ---- layout
static int by_key(const void *a, const void *b) { // descending; ties as created
  const rank *x = a, *y = b;
  return x->key > y->key ? -1 : x->key < y->key ? 1 : x->buffer - y->buffer;
}

enum { BY_BYTES, BY_AREA, BY_LIFE, BY_START, MEASURES };

static double measure(const duel_buffer *b, int by) {
  double life = b->last - b->first + 1;
  switch (by) {
  case BY_BYTES:
    return (double)b->bytes;
  case BY_AREA:
    return (double)b->bytes * life;
  case BY_LIFE:
    return life;
  default:
    return -b->first;
  }
}

// Placed buffers by offset. What lives within one stretch meets only those that live in it too: a list each, and one of
// all for the buffers that live longer. So a plan of many shards is laid out in the time that each shard takes.
typedef struct duel_placed {
  int n;
  int32_t *buffer;
} placed;

// The list that a buffer's neighbors are in.
static placed *list_of(const duel_planner *p, const duel_buffer *b) {
  const int32_t *stretch = p->stretch;
  return &p->placed[stretch[b->first] == stretch[b->last] ? stretch[b->first] : p->n_stretches];
}

// Numbers the stretches that groups lie in, and gives each its list.
static duel_status find_stretches(duel_planner *p) {
  int32_t *number = p->stretch = duel_planner_alloc(p, (size_t)p->n_groups + 1, sizeof *number);
  if (!number) return DUEL_ERR_DEVICE;
  for (int i = 0; i < p->n_groups; i++) number[i] = INT32_MAX;
  for (int s = 0; s < p->n; s++)
    if (p->task[s]->stretch < number[p->group[s]]) number[p->group[s]] = p->task[s]->stretch;
  int at = -1; // some task may have slid into a later one
  p->n_stretches = 0;
  for (int i = 0; i < p->n_groups; i++) {
    if (number[i] > at) {
      at = number[i];
      p->n_stretches++;
    }
    number[i] = p->n_stretches - 1;
  }
  size_t all = (size_t)p->n_buffers;
  for (int i = 0; i < p->n_buffers; i++) all += (size_t)(number[p->buffer[i].last] - number[p->buffer[i].first] + 1);
  int32_t *room = duel_planner_alloc(p, all, sizeof *room);
  p->placed = duel_planner_alloc(p, (size_t)p->n_stretches + 1, sizeof *p->placed);
  if (!room || !p->placed) return DUEL_ERR_DEVICE;
  for (int i = 0; i < p->n_buffers; i++)
    for (int k = number[p->buffer[i].first]; k <= number[p->buffer[i].last]; k++) p->placed[k].n++;
  for (int k = 0; k <= p->n_stretches; k++) {
    p->placed[k].buffer = room;
    room += p->placed[k].n;
  }
  return DUEL_OK;
}

// The place of a buffer among those placed so far.
static size_t find_gap(const duel_planner *p, const duel_buffer *b, bool tightest) {
  const placed *list = list_of(p, b);
  size_t low = 0, place = SIZE_MAX, best = SIZE_MAX;
  for (int i = 0; i < list->n; i++) {
    const duel_buffer *other = &p->buffer[list->buffer[i]];
    if (other->last < b->first || b->last < other->first) continue;
    if (other->offset > low && other->offset - low >= b->bytes && other->offset - low < best) {
      place = low;
      best = other->offset - low;
      if (!tightest) return place;
    }
    if (other->offset + other->bytes > low) low = other->offset + other->bytes;
  }
  return place == SIZE_MAX ? low : place;
}

static void insert(const duel_planner *p, placed *list, int buffer) {
  int at = list->n++;
  for (; at > 0 && p->buffer[list->buffer[at - 1]].offset > p->buffer[buffer].offset; at--)
    list->buffer[at] = list->buffer[at - 1];
  list->buffer[at] = buffer;
}

// Lays all buffers out in turn. Yields the bytes needed.
static size_t place_all(duel_planner *p, int by, bool tightest) {
  for (int i = 0; i < p->n_buffers; i++) p->rank[i] = (rank){measure(&p->buffer[i], by), i};
  qsort(p->rank, (size_t)p->n_buffers, sizeof *p->rank, by_key);
  for (int k = 0; k <= p->n_stretches; k++) p->placed[k].n = 0;
  size_t bytes = 0;
  for (int i = 0; i < p->n_buffers; i++) {
    duel_buffer *b = &p->buffer[p->rank[i].buffer];
    b->offset = find_gap(p, b, tightest);
    if (b->offset + b->bytes > bytes) bytes = b->offset + b->bytes;
    for (int k = p->stretch[b->first]; k <= p->stretch[b->last]; k++) insert(p, &p->placed[k], p->rank[i].buffer);
    insert(p, &p->placed[p->n_stretches], p->rank[i].buffer);
  }
  return bytes;
}

duel_status duel_planner_lay_out(duel_planner *p) {
  int best = 0;
  DUEL_TRY(find_stretches(p));
  p->bytes = SIZE_MAX;
  for (int way = 0; way < 2 * MEASURES && p->bytes > p->floor; way++) {
    size_t bytes = place_all(p, way / 2, way % 2);
    if (bytes < p->bytes) {
      p->bytes = bytes;
      best = way;
    }
  }
  p->bytes = place_all(p, best / 2, best % 2);
  return DUEL_OK;
}
