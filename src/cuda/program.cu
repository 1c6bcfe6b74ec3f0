// A program: a plan's calls on one device; and the ring that feeds the programs of a feed.
//
//   submit    copies a step's inputs into a slot of a pinned ring; every DUEL_LAUNCH_STEPS steps are launched at once:
//             their slots are copied to the device's ring, graphs replay the steps, the outputs' slots come back
//   a step    takes the inputs from the slot of the step's number, runs all calls, puts the outputs into its slot. The
//             number is counted in device memory, so that one captured graph serves every step of a program
//   collect   reads outputs from the pinned ring once the event behind their launch has happened
//   profile   runs the calls alone, one after another, with timed events between them
//
// So the host only waits when it asks for outputs that are not there yet. A slot is free again when its outputs were
// collected. A launch's steps may be of several programs: DUEL_LAUNCH_STEPS of one program are one graph, else each
// step is one. Without capture the same work is enqueued call by call.
#include <string.h>

#include "cuda/backend.h"
#include "cuda/launch.cuh"

namespace {

struct slots { // one a step, in pinned and in device memory
  unsigned char *host, *device;
  size_t stride; // bytes of a slot
};

struct program;

struct ring {
  duel_feed feed;
  slots in, out;
  int n;            // slots of both
  unsigned *number; // device: steps done so far
  int64_t submitted, launched, collected;
  program *runs[DUEL_RING];         // per slot: what runs its step
  cudaEvent_t event[DUEL_RING];     // behind the launch that had this slot as its last
  int64_t end_of_launch[DUEL_RING]; // per slot: step behind the last one of its launch
};

// Constants of a plan's first group, made by the kernel that takes the inputs.
constexpr int MOST_FILLS = 16;
constexpr int64_t MOST_FILLED = 4096; // elements; that kernel has few blocks
struct fill_list {
  int n;
  struct {
    float *dst;
    int64_t count;
    float value;
  } at[MOST_FILLS];
};

struct program {
  ring *fed; // its steps' inputs and outputs; NULL: none
  fill_list fills;
  const duel_call *call; // each with its lane; without one: a constant that is among the fills
  int n_groups;
  const int *group_end;
  cudaGraphExec_t one, several; // a step, and DUEL_LAUNCH_STEPS steps
  cudaEvent_t *mark;            // of a profile: before each call, and behind the last; NULL until there is one
  cudaGraphExec_t timed;        // with capture: the calls between their marks
};

constexpr int FEED_BLOCK = 256;

} // namespace

// ---- the ends of a step: bytes 8·w, FLOPs 0 for w words
static __global__ void take_inputs(const uint32_t *__restrict__ ring, uint32_t *__restrict__ dst, int64_t words,
                                   int64_t stride, unsigned slots, const unsigned *__restrict__ number,
                                   fill_list fills) {
  const uint32_t *slot = ring + (int64_t)(*number % slots) * stride;
  for (int64_t i = duel_first(); i < words; i += duel_stride()) dst[i] = slot[i];
  for (int f = 0; f < fills.n; f++)
    for (int64_t i = duel_first(); i < fills.at[f].count; i += duel_stride()) fills.at[f].dst[i] = fills.at[f].value;
}

// One block, so that all of it has read the number before it grows.
static __global__ void put_outputs(const uint32_t *__restrict__ src, uint32_t *__restrict__ ring, int64_t words,
                                   int64_t stride, unsigned slots, unsigned *number) {
  uint32_t *slot = ring + (int64_t)(*number % slots) * stride;
  for (int64_t i = threadIdx.x; i < words; i += blockDim.x) slot[i] = src[i];
  __syncthreads();
  if (threadIdx.x == 0) *number = (*number + 1) % slots;
}

duel_status duel_cuda_check_code(void) {
  cudaFuncAttributes attributes;
  DUEL_CUDA_TRY(cudaFuncGetAttributes(&attributes, (const void *)take_inputs), "looking for this GPU's code");
  return DUEL_OK;
}

// ---- enqueueing
static duel_status lanes_status(duel_backend *b) {
  for (int i = 0; i < b->lanes; i++) {
    const duel_status status = b->lane[i].status;
    b->lane[i].status = DUEL_OK;
    if (status != DUEL_OK) return status;
  }
  return DUEL_OK;
}

// The calls of a group run side by side: lane 0 forks into as many lanes as they need and waits for them.
static duel_status enqueue_group(duel_backend *b, const program *p, int first, int last) {
  int lanes = 0;
  for (int i = first; i < last && lanes < b->lanes; i++) lanes += p->call[i].ctx != NULL;
  if (lanes > 1) DUEL_CUDA_TRY(cudaEventRecord(b->forked, b->lane[0].stream), "forking");
  for (int i = 1; i < lanes; i++) DUEL_CUDA_TRY(cudaStreamWaitEvent(b->lane[i].stream, b->forked, 0), "forking");
  for (int i = first; i < last; i++)
    if (p->call[i].ctx) duel_cuda_kernel_of(p->call[i].op)->run(&p->call[i]);
  for (int i = 1; i < lanes; i++) {
    DUEL_CUDA_TRY(cudaEventRecord(b->joined[i], b->lane[i].stream), "joining");
    DUEL_CUDA_TRY(cudaStreamWaitEvent(b->lane[0].stream, b->joined[i], 0), "joining");
  }
  return lanes_status(b);
}

static duel_status enqueue_calls(duel_backend *b, const program *p) {
  for (int g = 0, first = 0; g < p->n_groups; first = p->group_end[g++])
    DUEL_TRY(enqueue_group(b, p, first, p->group_end[g]));
  return DUEL_OK;
}

static duel_status enqueue_step(duel_backend *b, const program *p) {
  duel_lane *lane = &b->lane[0];
  const ring *r = p->fed;
  if (!r) return enqueue_calls(b, p);
  const int64_t in = (int64_t)r->feed.in_bytes / 4, out = (int64_t)r->feed.out_bytes / 4;
  DUEL_LAUNCH(lane, take_inputs, duel_blocks(in, FEED_BLOCK), FEED_BLOCK, 0, (const uint32_t *)r->in.device,
              (uint32_t *)r->feed.in, in, (int64_t)r->in.stride / 4, (unsigned)r->n, r->number, p->fills);
  DUEL_TRY(enqueue_calls(b, p));
  DUEL_LAUNCH(lane, put_outputs, 1, FEED_BLOCK, 0, (const uint32_t *)r->feed.out, (uint32_t *)r->out.device, out,
              (int64_t)r->out.stride / 4, (unsigned)r->n, r->number);
  return lanes_status(b);
}

static int calls_of(const program *p) {
  return p->n_groups > 0 ? p->group_end[p->n_groups - 1] : 0;
}

// All calls on lane 0, one after another, with a mark between any two.
static duel_status enqueue_timed(duel_backend *b, const program *p, unsigned how) {
  cudaStream_t stream = b->lane[0].stream;
  for (int i = 0; i < calls_of(p); i++) {
    duel_call call = p->call[i];
    call.ctx = &b->lane[0];
    DUEL_CUDA_TRY(cudaEventRecordWithFlags(p->mark[i], stream, how), "a mark");
    duel_cuda_kernel_of(call.op)->run(&call);
  }
  DUEL_CUDA_TRY(cudaEventRecordWithFlags(p->mark[calls_of(p)], stream, how), "a mark");
  return lanes_status(b);
}

// So many steps; 0: the calls of one between their marks.
static duel_status capture(duel_backend *b, const program *p, int steps, cudaGraphExec_t *exec) {
  cudaStream_t stream = b->lane[0].stream;
  cudaGraph_t graph = NULL;
  DUEL_CUDA_TRY(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "capturing a step");
  duel_status status = steps > 0 ? DUEL_OK : enqueue_timed(b, p, cudaEventRecordExternal);
  for (int i = 0; i < steps && status == DUEL_OK; i++) status = enqueue_step(b, p);
  const cudaError_t error = cudaStreamEndCapture(stream, &graph); // ends it after a failure too
  if (status == DUEL_OK && error != cudaSuccess) status = duel_cuda_fail(error, "capturing a step");
  if (status == DUEL_OK) {
    const cudaError_t made = cudaGraphInstantiate(exec, graph, 0);
    if (made != cudaSuccess) {
      *exec = NULL;
      status = duel_cuda_fail(made, "instantiating a step");
    }
  }
  if (graph) cudaGraphDestroy(graph);
  return status;
}

// Calls of a step that is captured alone if it has more: DUEL_LAUNCH_STEPS copies would take long to make, and beside
// so many calls a launch is nothing.
constexpr int MOST_REPEATED = 1024;

// Captures what a program replays; where that cannot be, it is launched call by call.
static duel_status capture_program(duel_backend *b, program *p) {
  DUEL_TRY(duel_cuda_warm(b));
  duel_status status = capture(b, p, 1, &p->one);
  if (status == DUEL_OK && p->fed && calls_of(p) <= MOST_REPEATED)
    status = capture(b, p, DUEL_LAUNCH_STEPS, &p->several);
  if (status == DUEL_OK) return DUEL_OK;
  if (p->one) cudaGraphExecDestroy(p->one);
  p->one = NULL;
  return duel_cuda_give_up_capture(b);
}

// ---- the ring
// Slots are copied whole, with what is behind their words: zeros.
static duel_status open_slots(duel_backend *b, slots *s, int n) {
  DUEL_CUDA_TRY(cudaMallocHost((void **)&s->host, s->stride * n), "a pinned ring");
  memset(s->host, 0, s->stride * n);
  DUEL_CUDA_TRY(cudaMalloc((void **)&s->device, s->stride * n), "a ring");
  DUEL_CUDA_TRY(cudaMemsetAsync(s->device, 0, s->stride * n, b->lane[0].stream), "a ring");
  return DUEL_OK;
}

static int slots_of(const ring *r) {
  const size_t stride = r->in.stride > r->out.stride ? r->in.stride : r->out.stride, n = DUEL_RING_BYTES / stride;
  return n < 2 * DUEL_LAUNCH_STEPS ? 2 * DUEL_LAUNCH_STEPS : n < DUEL_RING ? (int)n : DUEL_RING;
}

static duel_status open_slots_and_events(duel_backend *b, ring *r) {
  r->in.stride = (r->feed.in_bytes + 15) / 16 * 16;
  r->out.stride = (r->feed.out_bytes + 15) / 16 * 16;
  r->n = slots_of(r);
  DUEL_TRY(open_slots(b, &r->in, r->n));
  DUEL_TRY(open_slots(b, &r->out, r->n));
  DUEL_CUDA_TRY(cudaMalloc((void **)&r->number, sizeof *r->number), "a counter");
  DUEL_CUDA_TRY(cudaMemsetAsync(r->number, 0, sizeof *r->number, b->lane[0].stream), "a counter");
  for (int i = 0; i < r->n; i++)
    DUEL_CUDA_TRY(cudaEventCreateWithFlags(&r->event[i], cudaEventDisableTiming), "an event");
  return DUEL_OK;
}

duel_status duel_cuda_open_ring(duel_backend *b, const duel_feed *feed, void **result) {
  *result = NULL;
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  ring *r = (ring *)duel_malloc(sizeof *r);
  if (!r) return duel_fail_memory("a ring", sizeof *r);
  memset(r, 0, sizeof *r);
  r->feed = *feed;
  const duel_status status = open_slots_and_events(b, r);
  if (status != DUEL_OK) {
    duel_cuda_close_ring(b, r);
    return status;
  }
  *result = r;
  return DUEL_OK;
}

static void close_slots(slots *s) {
  if (s->host) cudaFreeHost(s->host);
  if (s->device) cudaFree(s->device);
}

// Its programs were released, which waited for all that used it.
void duel_cuda_close_ring(duel_backend *b, void *ring_) {
  ring *r = (ring *)ring_;
  cudaSetDevice(b->device);
  for (int i = 0; i < DUEL_RING; i++)
    if (r->event[i]) cudaEventDestroy(r->event[i]);
  if (r->number) cudaFree(r->number);
  close_slots(&r->in);
  close_slots(&r->out);
  duel_free(r);
}

// ---- preparing
// A constant of the first group of a plan that is fed: true if the kernel that takes the inputs can make it too.
static bool becomes_a_fill(program *p, int group, const duel_call *call) {
  if (!p->fed || group > 0 || call->op != DUEL_OP_CONSTANT || p->fills.n == MOST_FILLS ||
      duel_count(&call->out[0]) > MOST_FILLED)
    return false;
  p->fills.at[p->fills.n].dst = (float *)call->out[0].data;
  p->fills.at[p->fills.n].count = duel_count(&call->out[0]);
  p->fills.at[p->fills.n++].value = (float)call->attr->constant.value;
  return true;
}

duel_status duel_cuda_prepare(duel_backend *b, duel_call *calls, const int *group_end, int n_groups, void *ring_,
                              void **result) {
  *result = NULL;
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  program *p = (program *)duel_malloc(sizeof *p);
  if (!p) return duel_fail_memory("a program", sizeof *p);
  memset(p, 0, sizeof *p);
  p->fed = (ring *)ring_;
  p->call = calls;
  p->n_groups = n_groups;
  p->group_end = group_end;
  for (int g = 0, first = 0; g < n_groups; first = group_end[g++])
    for (int i = first, lane = 0; i < group_end[g]; i++)
      calls[i].ctx = becomes_a_fill(p, g, &calls[i]) ? NULL : &b->lane[lane++ % b->lanes];
  const cudaError_t error = cudaStreamSynchronize(b->lane[0].stream);
  duel_status status = error == cudaSuccess ? DUEL_OK : duel_cuda_fail(error, "preparing");
  if (status == DUEL_OK && b->capture) status = capture_program(b, p);
  if (status != DUEL_OK) {
    duel_cuda_release(b, p);
    return status;
  }
  *result = p;
  return DUEL_OK;
}

void duel_cuda_release(duel_backend *b, void *program_) {
  program *p = (program *)program_;
  cudaSetDevice(b->device);
  cudaStreamSynchronize(b->lane[0].stream);
  if (p->one) cudaGraphExecDestroy(p->one);
  if (p->several) cudaGraphExecDestroy(p->several);
  if (p->timed) cudaGraphExecDestroy(p->timed);
  for (int i = 0; p->mark && i <= calls_of(p); i++)
    if (p->mark[i]) cudaEventDestroy(p->mark[i]);
  duel_free(p->mark);
  duel_free(p);
}

// ---- running
duel_status duel_cuda_run(duel_backend *b, void *program_) {
  program *p = (program *)program_;
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  if (p->fed || !p->one) return enqueue_calls(b, p);
  DUEL_CUDA_TRY(cudaGraphLaunch(p->one, b->lane[0].stream), "a launch");
  return DUEL_OK;
}

// Copies the slots of n steps from `first` on, of which some may lie at the ring's beginning again.
static duel_status copy_slots(duel_backend *b, const slots *s, int all, int64_t first, int n, cudaMemcpyKind kind) {
  for (int done = 0, part; done < n; done += part) {
    const int slot = (int)((first + done) % all);
    part = n - done < all - slot ? n - done : all - slot;
    unsigned char *host = s->host + (size_t)slot * s->stride, *device = s->device + (size_t)slot * s->stride;
    const bool up = kind == cudaMemcpyHostToDevice;
    DUEL_CUDA_TRY(
        cudaMemcpyAsync(up ? device : host, up ? host : device, (size_t)part * s->stride, kind, b->lane[0].stream),
        "feeding a step");
  }
  return DUEL_OK;
}

// How many of n submitted steps from `first` on are one program's, and have one graph: DUEL_LAUNCH_STEPS or 1.
static int steps_at_once(const ring *r, int64_t first, int n) {
  const program *p = r->runs[first % r->n];
  if (n < DUEL_LAUNCH_STEPS || !p->several) return 1;
  for (int i = 1; i < DUEL_LAUNCH_STEPS; i++)
    if (r->runs[(first + i) % r->n] != p) return 1;
  return DUEL_LAUNCH_STEPS;
}

// Launches the next n submitted steps.
static duel_status launch(duel_backend *b, ring *r, int n) {
  cudaStream_t stream = b->lane[0].stream;
  DUEL_TRY(copy_slots(b, &r->in, r->n, r->launched, n, cudaMemcpyHostToDevice));
  for (int done = 0; done < n;) {
    const program *p = r->runs[(r->launched + done) % r->n];
    const int steps = steps_at_once(r, r->launched + done, n - done);
    if (p->one)
      DUEL_CUDA_TRY(cudaGraphLaunch(steps > 1 ? p->several : p->one, stream), "a launch");
    else
      DUEL_TRY(enqueue_step(b, p));
    done += steps;
  }
  DUEL_TRY(copy_slots(b, &r->out, r->n, r->launched, n, cudaMemcpyDeviceToHost));
  for (int i = 0; i < n; i++) r->end_of_launch[(r->launched + i) % r->n] = r->launched + n;
  r->launched += n;
  DUEL_CUDA_TRY(cudaEventRecord(r->event[(r->launched - 1) % r->n], stream), "a launch");
  return DUEL_OK;
}

int duel_cuda_ahead(const void *ring_) {
  return ((const ring *)ring_)->n;
}

duel_status duel_cuda_submit(duel_backend *b, void *ring_, void *program_, const void *in) {
  ring *r = (ring *)ring_;
  if (r->submitted - r->collected >= r->n)
    return duel_fail(DUEL_ERR_INTERNAL, "cuda: %d steps are submitted and none is collected", r->n);
  const int64_t slot = r->submitted % r->n;
  memcpy(r->in.host + (size_t)slot * r->in.stride, in, r->feed.in_bytes);
  r->runs[slot] = (program *)program_;
  r->submitted++;
  if (r->submitted - r->launched < DUEL_LAUNCH_STEPS) return DUEL_OK;
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  return launch(b, r, DUEL_LAUNCH_STEPS);
}

duel_status duel_cuda_collect(duel_backend *b, void *ring_, void *out, bool wait, bool *got) {
  ring *r = (ring *)ring_;
  *got = false;
  if (r->collected == r->submitted) return duel_fail(DUEL_ERR_INTERNAL, "cuda: there is no step to collect");
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  if (r->collected == r->launched) {
    if (!wait) return DUEL_OK;
    DUEL_TRY(launch(b, r, (int)(r->submitted - r->launched)));
  }
  const int slot = (int)(r->collected % r->n);
  cudaEvent_t event = r->event[(r->end_of_launch[slot] - 1) % r->n];
  cudaError_t error = cudaEventQuery(event);
  if (error == cudaErrorNotReady) {
    cudaGetLastError(); // no error, but kept as if it were one
    if (!wait) return DUEL_OK;
    error = cudaEventSynchronize(event);
  }
  if (error != cudaSuccess) return duel_cuda_fail(error, "a step");
  memcpy(out, r->out.host + (size_t)slot * r->out.stride, r->feed.out_bytes);
  r->collected++;
  *got = true;
  return DUEL_OK;
}

static duel_status open_profile(duel_backend *b, program *p) {
  const size_t marks = (size_t)calls_of(p) + 1;
  if (!p->mark) {
    p->mark = (cudaEvent_t *)duel_malloc(marks * sizeof *p->mark);
    if (!p->mark) return duel_fail_memory("the marks of a program", marks * sizeof *p->mark);
    memset(p->mark, 0, marks * sizeof *p->mark);
  }
  for (size_t i = 0; i < marks; i++)
    if (!p->mark[i]) DUEL_CUDA_TRY(cudaEventCreate(&p->mark[i]), "a mark");
  if (!b->capture || p->timed || capture(b, p, 0, &p->timed) == DUEL_OK) return DUEL_OK;
  return duel_cuda_give_up_capture(b);
}

duel_status duel_cuda_profile(duel_backend *b, void *program_, double *seconds) {
  program *p = (program *)program_;
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  DUEL_TRY(open_profile(b, p));
  if (p->timed)
    DUEL_CUDA_TRY(cudaGraphLaunch(p->timed, b->lane[0].stream), "a launch");
  else
    DUEL_TRY(enqueue_timed(b, p, cudaEventRecordDefault));
  DUEL_CUDA_TRY(cudaStreamSynchronize(b->lane[0].stream), "a profile");
  for (int i = 0; i < calls_of(p); i++) {
    float ms = 0;
    DUEL_CUDA_TRY(cudaEventElapsedTime(&ms, p->mark[i], p->mark[i + 1]), "a mark");
    seconds[i] += 1e-3 * (double)ms;
  }
  return DUEL_OK;
}
