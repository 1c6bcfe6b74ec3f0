// The CPU backend, as the registry and tests open it.
#ifndef DUEL_CPU_ENTRY_H
#define DUEL_CPU_ENTRY_H

#include "core/backend.h"

extern const duel_backend_api duel_cpu_backend;     // float32
extern const duel_backend_api duel_cpu_f64_backend; // the same kernels compiled for double (tests)

#endif
