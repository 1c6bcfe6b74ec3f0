// Comparing results with what they should be, and how close each op must come.
#ifndef DUEL_TESTS_COMPARE_H
#define DUEL_TESTS_COMPARE_H

#include "cases.h"
#include "core/backend.h"

typedef struct duel_tolerance {
  double nmse, rel, abs; // Σ(a−b)²/Σb² ≤ nmse, and each |a−b| ≤ rel·|b| + abs; all zero: equal
  const double *more;    // NULL, or what each element may be off by on top
} duel_tolerance;

typedef struct duel_comparison {
  bool ok;
  double nmse, worst; // worst: the largest |a−b|/(rel·|b| + abs + more) (exact: 0 or infinity)
  int64_t at;         // where that is
  int64_t zeros;      // of want
} duel_comparison;

// dtype F32: want is rounded to float first. Infinities must agree in sign, NaN only meets NaN.
duel_comparison duel_compare(const duel_ref *got, const duel_ref *want, duel_dtype dtype, duel_tolerance tol);
bool duel_same_bits(const duel_ref *a, const duel_ref *b);

// What output `output` of a case owes to the oracle on a backend that computes in `real`.
duel_tolerance duel_case_tolerance(const duel_case *c, int output, duel_dtype real);

// Whether a library computes a backend's products, in an order of its own, with one float32 sum however long it is.
bool duel_has_foreign_products(const duel_backend_api *api);
// What such products may add to the error of each element (`more` of the tolerance), given what the outputs should be.
// To be freed; empty for ops without products.
void duel_case_product_error(const duel_case *c, const duel_ref *in, const duel_ref *want, duel_ref more[DUEL_MAX_OUT]);

#endif
