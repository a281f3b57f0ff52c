/* Pearson's test that outcomes are equally likely. */
#ifndef UNIT_CHI_SQUARE_H
#define UNIT_CHI_SQUARE_H

#include <math.h>
#include <stddef.h>

static inline double chi_square(const unsigned *counts, size_t cells) {
  double total = 0, sum = 0;
  for (size_t i = 0; i < cells; i++) total += counts[i];
  const double expected = total / (double)cells;
  for (size_t i = 0; i < cells; i++) sum += (counts[i] - expected) * (counts[i] - expected) / expected;
  return sum;
}

/* What chi_square() exceeds with probability 0.001 (Wilson and Hilferty's approximation, 1931). */
static inline double chi_square_limit(size_t cells) {
  const double freedom = (double)cells - 1, normal_quantile = 3.0902;
  const double a = 2 / (9 * freedom);
  return freedom * pow(1 - a + normal_quantile * sqrt(a), 3);
}

static inline int looks_uniform(const unsigned *counts, size_t cells) {
  return chi_square(counts, cells) < chi_square_limit(cells);
}

#endif
