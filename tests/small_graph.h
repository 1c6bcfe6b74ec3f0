// A graph of a few nodes whose results are assigned to output variables: what tests of passes and plans build on.
#ifndef DUEL_TESTS_SMALL_GRAPH_H
#define DUEL_TESTS_SMALL_GRAPH_H

#include "core/graph.h"

extern duel_vars small_vars;
extern duel_graph *small_graph; // NULL once a plan has taken it

int small_set_up(void **state); // cmocka fixtures
int small_tear_down(void **state);
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(test_##name, small_set_up, small_tear_down)

int small_var(duel_arena arena, const char *name, duel_shape shape); // f32
duel_val small_input(const char *name, duel_shape shape);
void small_keep(duel_val v); // assigns v to the next output variable: out0, out1, ...
duel_val small_kept(int i);  // what output i is assigned, after passes
void small_rewrite(unsigned which);
int small_count(duel_op op);
const duel_node *small_maker(duel_val v);
void small_made_by(duel_val v, duel_op op); // asserts

#endif
