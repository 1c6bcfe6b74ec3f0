// What orders work, told to ThreadSanitizer (internal.h). A work touches memory between enter and leave, as the thread
// that its clock is; switching to it orders nothing.
#include "internal.h"

cuemu_clock *cuemu_executing;

#ifdef CUEMU_TSAN
static void *host;

CUEMU_RAW void cuemu_start_clock(cuemu_clock *clock) {
  if (!clock->fiber) clock->fiber = __tsan_create_fiber(0);
}

CUEMU_RAW void cuemu_enter_device() {
  cuemu_clock *c = cuemu_executing;
  cuemu_start_clock(c);
  host = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(c->fiber, __tsan_switch_to_fiber_no_sync);
  char *const *before = c->before.data();
  for (size_t i = 0, n = c->before.size(); i < n; i++) __tsan_acquire(before[i]);
}

CUEMU_RAW void cuemu_leave_device() {
  __tsan_release(&cuemu_executing->after);
  __tsan_switch_to_fiber(host, __tsan_switch_to_fiber_no_sync);
}

CUEMU_RAW void cuemu_announce(const void *p, size_t bytes, bool write) {
  if (write)
    __tsan_write_range(const_cast<void *>(p), (long)bytes);
  else
    __tsan_read_range(const_cast<void *>(p), (long)bytes);
}

void cuemu_release(char *moment) {
  __tsan_release(moment);
}

void cuemu_acquire(char *moment) {
  __tsan_acquire(moment);
}

CUEMU_RAW void cuemu_hide(bool hidden) {
  if (hidden) {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  } else {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
}
#else
void cuemu_start_clock(cuemu_clock *) {}
void cuemu_enter_device() {}
void cuemu_leave_device() {}
void cuemu_announce(const void *, size_t, bool) {}
void cuemu_release(char *) {}
void cuemu_acquire(char *) {}
void cuemu_hide(bool) {}
#endif
