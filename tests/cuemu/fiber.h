// Fibers: stacks of their own that CUDA threads run on, one at a time, all in the host's thread.
#ifndef CUEMU_FIBER_H
#define CUEMU_FIBER_H

#include "internal.h"

#pragma GCC visibility push(hidden)
struct cuemu_fiber;
cuemu_fiber *cuemu_take_fiber(void);         // a free one; a switch to it begins cuemu_fiber_work
void cuemu_switch_fiber(cuemu_fiber *to);    // NULL: to the host
void cuemu_host_fiber_is_here(void);         // before a launch: where NULL leads
void cuemu_fiber_work(cuemu_fiber *running); // scheduler.cpp; when it returns, the fiber is free again
#pragma GCC visibility pop

#endif
