// Stacks, and switches between them: a few instructions on x86-64, ucontext elsewhere.
//
// Invariant: switches go from the host to a fiber and back, never from fiber to fiber; each tells the sanitizers.
#include "fiber.h"

#include <sys/mman.h>

#if defined(__x86_64__) && !defined(CUEMU_UCONTEXT)
#define CUEMU_ASM_SWITCH 1
#else
#include <ucontext.h>
#endif

struct cuemu_fiber {
#ifdef CUEMU_ASM_SWITCH
  void *sp;
#else
  ucontext_t context;
#endif
  char *stack;
  size_t stack_bytes;
  void *fake_stack, *tsan; // ASan's, TSan's
};

namespace {
#if defined(CUEMU_ASAN) || defined(CUEMU_TSAN)
constexpr size_t STACK = 256 << 10, PAGE = 4096;
#else
constexpr size_t STACK = 64 << 10, PAGE = 4096;
#endif
cuemu_fiber host, *running = &host;
#ifdef CUEMU_TSAN
enum { FIBERS = 1280 }; // taken in turn, so that threads of neighboring blocks of 256 do not share one
unsigned taken;
#else
enum { FIBERS = 1024 }; // as many as can wait at once
cuemu_fiber *idle[FIBERS];
unsigned n_fibers, n_idle;
#endif
cuemu_fiber fibers[FIBERS];

#ifdef CUEMU_ASM_SWITCH
extern "C" void cuemu_switch_stack(void **from, void *to);
asm(R"(
.text
.p2align 4
.globl cuemu_switch_stack
.hidden cuemu_switch_stack
.type cuemu_switch_stack, @function
cuemu_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuemu_switch_stack, .-cuemu_switch_stack
)");
#endif

CUEMU_RAW void fiber_main() {
  cuemu_fiber *me = running;
#ifdef CUEMU_ASAN
  const void *bottom;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &host.stack_bytes);
  host.stack = (char *)bottom;
#endif
  for (;;) {
    cuemu_fiber_work(me);
#ifndef CUEMU_TSAN
    idle[n_idle++] = me;
#endif
    cuemu_switch_fiber(nullptr);
  }
}

#ifndef CUEMU_ASM_SWITCH
CUEMU_RAW void set_up_context(cuemu_fiber *f) {
  getcontext(&f->context);
  f->context.uc_stack.ss_sp = f->stack;
  f->context.uc_stack.ss_size = STACK;
  f->context.uc_link = nullptr;
  makecontext(&f->context, fiber_main, 0);
}
#endif

} // namespace

CUEMU_RAW cuemu_fiber *cuemu_take_fiber() {
#ifdef CUEMU_TSAN
  cuemu_fiber *f = &fibers[taken++ % FIBERS];
  if (f->stack) return f;
#else
  if (n_idle > 0) return idle[--n_idle];
  cuemu_fiber *f = &fibers[n_fibers++];
#endif
  char *p =
      (char *)mmap(nullptr, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) cuemu_die("no memory for a fiber's stack");
  mprotect(p, PAGE, PROT_NONE); // an overrun faults
  f->stack = p + PAGE;
  f->stack_bytes = STACK;
#ifdef CUEMU_TSAN
  f->tsan = __tsan_create_fiber(0);
#endif
#ifdef CUEMU_ASM_SWITCH
  // As cuemu_switch_stack leaves it: control words, six registers, where to go on, and a return address that is none.
  uint64_t *sp = (uint64_t *)(f->stack + STACK) - 9;
  memset(sp, 0, 9 * sizeof *sp);
  unsigned mxcsr;
  unsigned short fcw;
  asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(fcw));
  sp[0] = mxcsr | (uint64_t)fcw << 32;
  sp[7] = (uint64_t)(uintptr_t)fiber_main;
  f->sp = sp;
#else
  set_up_context(f);
#endif
  return f;
}

CUEMU_RAW void cuemu_switch_fiber(cuemu_fiber *to) {
  cuemu_fiber *from = running;
  if (!to) to = &host;
  running = to;
#ifdef CUEMU_TSAN
  __tsan_switch_to_fiber(to->tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef CUEMU_ASAN
  __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
#ifdef CUEMU_ASM_SWITCH
  cuemu_switch_stack(&from->sp, to->sp);
#else
  swapcontext(&from->context, &to->context);
#endif
#ifdef CUEMU_ASAN
  const void *bottom;
  size_t bytes;
  __sanitizer_finish_switch_fiber(from->fake_stack, &bottom, &bytes);
  if (from != &host) host.stack = (char *)bottom, host.stack_bytes = bytes;
#endif
}

CUEMU_RAW void cuemu_host_fiber_is_here() {
#ifdef CUEMU_TSAN
  host.tsan = __tsan_get_current_fiber();
#endif
}
