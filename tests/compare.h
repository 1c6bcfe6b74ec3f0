// Comparing results with what they should be, and how close each op must come.
#ifndef DUEL_TESTS_COMPARE_H
#define DUEL_TESTS_COMPARE_H

#include "cases.h"

typedef struct duel_tolerance {
  double nmse, rel, abs; // Σ(a−b)²/Σb² ≤ nmse, and each |a−b| ≤ rel·|b| + abs; all zero: equal
} duel_tolerance;

typedef struct duel_comparison {
  bool ok;
  double nmse, worst; // worst: the largest |a−b|/(rel·|b| + abs) (exact: 0 or infinity)
  int64_t at;         // where that is
  int64_t zeros;      // of want
} duel_comparison;

// dtype F32: want is rounded to float first. Infinities must agree in sign, NaN only meets NaN.
duel_comparison duel_compare(const duel_ref *got, const duel_ref *want, duel_dtype dtype, duel_tolerance tol);
bool duel_same_bits(const duel_ref *a, const duel_ref *b);

// What output `output` of a case owes to the oracle on a backend that computes in `real`.
duel_tolerance duel_case_tolerance(const duel_case *c, int output, duel_dtype real);

#endif
