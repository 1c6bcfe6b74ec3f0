// Calls on the CPU backend larger than one piece, in awkward sizes: what the tests of that backend run.
#ifndef DUEL_TESTS_CPU_JOBS_H
#define DUEL_TESTS_CPU_JOBS_H

#include "core/backend.h"

typedef struct duel_box { // one call with its own operands
  duel_operand in[8], out[4];
  int64_t offset[8]; // of pack
  duel_call call;
  duel_attr attr;
} duel_box;

typedef struct duel_large_call {
  duel_op op;
  const char *variant; // tells jobs of one op apart; "" if there is one
  void (*make)(duel_box *b);
} duel_large_call;

extern const duel_large_call duel_large_calls[];
extern const int duel_large_calls_n;

void duel_box_make(duel_box *b, duel_op op, const char *variant);  // the same contents every time
float *duel_box_in(duel_box *b, duel_shape shape);                 // appends an input of random numbers in [-1, 1)
float *duel_box_out(duel_box *b, duel_shape shape);                // appends an output full of NaN
duel_operand duel_box_operand(duel_dtype dtype, duel_shape shape); // zeros
// Runs it at a level and in a precision (NULL: the best, fp32); checks that nothing is allocated meanwhile.
void duel_box_run(duel_box *b, duel_op op, const char *isa, const char *precision, int threads);
void duel_box_free(duel_box *b);
duel_cost duel_call_cost(const duel_call *call); // as core has it of the node

#endif
