// The one list of op cases. Every use walks it: against the oracle, against finite differences, exact integers, fused
// against expanded, one backend against another, and timing. A new op brings its cases here and gets all of them.
#ifndef DUEL_TESTS_CASES_H
#define DUEL_TESTS_CASES_H

#include "core/graph.h"
#include "oracle.h"

enum { DUEL_CASE_MAX_IN = 7, DUEL_REAL = DUEL_DTYPE_COUNT }; // DUEL_REAL: the graph's real type

typedef enum duel_fill {
  DUEL_FILL_UNIFORM,  // [-1, 1]
  DUEL_FILL_AWAY,     // [-1, -0.1] and [0.1, 1]: away from a kink at zero
  DUEL_FILL_POSITIVE, // [0.25, 2]
  DUEL_FILL_UNIT,     // [0.05, 0.95]
  DUEL_FILL_WIDE,     // [-12, 12]
  DUEL_FILL_OFFSET,   // 100 + [-1, 1]: a mean much larger than the spread
  DUEL_FILL_DISTINCT, // no two alike
  DUEL_FILL_BINARY,   // 0 or 1
  DUEL_FILL_ZERO,
  DUEL_FILL_EXTREME,    // ±0, ±1e-30, ±100, ±inf, NaN, …
  DUEL_FILL_LARGE,      // as extreme, finite numbers only
  DUEL_FILL_INDEX,      // a row of input 0, or of what is indexed
  DUEL_FILL_WILD_INDEX, // as index, but some out of range
  DUEL_FILL_BYTE,
  DUEL_FILL_KEY,  // a random draw's key block
  DUEL_FILL_ADAM, // coefficients
  DUEL_FILL_SGD,
  DUEL_FILL_MAP,           // of warp2d, for the images that are input 0: one of many kinds an image
  DUEL_FILL_MAP_BY_PIXELS, // moves, flips and turns that copy pixels
  DUEL_FILL_MAP_WILD,      // as map, but some numbers are not finite or large
} duel_fill;

// How an op's results come to be, which says how near to the exact ones they are (compare.c has the bounds).
typedef enum duel_rounding {
  DUEL_ROUNDS_EQUAL = 1, // moved or chosen
  DUEL_ROUNDS_ONCE,      // one operation
  DUEL_ROUNDS_FEW,       // a few
  DUEL_ROUNDS_FUNCTION,  // a polynomial of our own
  DUEL_ROUNDS_SUM,       // many terms
  DUEL_ROUNDS_CANCELS,   // a sum of differences of functions
  DUEL_ROUNDS_UPDATE,    // an optimizer's, and Σ grad²
  DUEL_ROUNDS_BYTES,     // equal, but bytes become real numbers
  DUEL_ROUNDS_NORMAL,    // normal draws
  DUEL_ROUNDS_DRAWS,     // places and colors that follow from draws
} duel_rounding;

typedef struct duel_op_rule {
  duel_rounding rounding;
  bool whole; // of small whole numbers the results are exact, where its attributes are dyadic (duel_case_is_exact)
  bool same;  // all backends yield the same bits
} duel_op_rule;

typedef struct duel_case_in {
  duel_shape shape;
  duel_fill fill;
  int dtype; // a duel_dtype or DUEL_REAL
} duel_case_in;

typedef struct duel_case {
  int id;
  duel_op op;
  duel_attr attr;
  duel_shape shape; // for ops whose shape does not follow from the inputs
  int n_in;
  duel_case_in in[DUEL_CASE_MAX_IN];
  bool zeros;  // most of the output may be zero
  bool coarse; // ill-conditioned: a looser tolerance
} duel_case;

// The list; made at the first call, never freed. $DUEL_TEST_MOST, for slow sanitizers: without the cases whose operands
// have more elements than that together.
const duel_case *duel_cases(int *n);

duel_op_rule duel_rule_of(duel_op op);
int duel_case_outputs(const duel_case *c);
bool duel_case_is_state(const duel_case *c, int input); // a variable that the op overwrites (or the state leaf reads)
bool duel_case_is_real(const duel_case *c, int input);
bool duel_case_is_extreme(const duel_case *c);
bool duel_case_is_exact(const duel_case *c); // integer inputs give exact results in any order of summation
const char *duel_case_name(const duel_case *c, char text[256]); // "matmul [17×33, 33×65] nt"

// Makes the case's node. out: duel_case_outputs() values.
void duel_case_build(duel_graph *g, const duel_case *c, const duel_val *in, duel_val *out);

// Contents of an input: floats, as doubles. integer: small integers instead of real numbers. Different seeds differ.
duel_ref duel_case_fill(const duel_case *c, int input, bool integer, uint32_t seed);

// The oracle's outputs for these inputs; to be freed.
void duel_case_expect(const duel_case *c, const duel_ref *in, duel_ref *out);

uint32_t duel_test_hash(uint32_t a, uint32_t b);
double duel_test_uniform(uint32_t seed, uint32_t i); // [-1, 1), a float

// ---- for the families, cases_*.c
duel_case *duel_case_add(duel_op op, int n_in); // a fresh entry, inputs uniform reals; valid until the next call
duel_case *duel_case_add1(duel_op op, duel_shape a, duel_fill fill);
duel_case *duel_case_add2(duel_op op, duel_shape a, duel_fill fill_a, duel_shape b, duel_fill fill_b);
void duel_cases_elementwise(void);
void duel_cases_movement(void);
void duel_cases_product(void);
void duel_cases_conv(void);
void duel_cases_norm(void);
void duel_cases_spectral(void);
void duel_cases_resample(void);
void duel_cases_warp(void);
void duel_fill_maps(duel_ref *maps, duel_fill fill, duel_shape images, bool integer, uint32_t seed);
void duel_cases_other(void); // reductions, batchnorm, bce, draws, batch, writers, leaves

#endif
