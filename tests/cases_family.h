// What the families of cases, cases_*.c, share: lists and shapes as initializers.
#ifndef DUEL_TESTS_CASES_FAMILY_H
#define DUEL_TESTS_CASES_FAMILY_H

#include "cases.h"

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))
#define S(...)                                                                                                         \
  {                                                                                                                    \
    sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {                                                              \
      __VA_ARGS__                                                                                                      \
    }                                                                                                                  \
  }
#define SCALAR                                                                                                         \
  {                                                                                                                    \
    0, {                                                                                                               \
      0                                                                                                                \
    }                                                                                                                  \
  }

#endif
