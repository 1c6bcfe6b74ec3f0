// Capture and replay: what is captured does not run, replays run in any order that dependencies allow, and what CUDA
// forbids during a capture fails as in CUDA.
#include "selftest.h"

static __global__ void scale_add(float *x, float scale, float by) {
  x[threadIdx.x] = x[threadIdx.x] * scale + by;
}
static __global__ void add_to(const float *a, const float *b, float *out) {
  out[threadIdx.x] = a[threadIdx.x] + b[threadIdx.x];
}

struct two_streams {
  cudaStream_t a, b;
  cudaEvent_t fork, join;
  cudaGraph_t graph;
  two_streams() : graph(nullptr) {
    cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
    cudaEventCreateWithFlags(&join, cudaEventDisableTiming);
  }
  ~two_streams() {
    cudaEventDestroy(fork);
    cudaEventDestroy(join);
    cudaStreamDestroy(a);
    cudaStreamDestroy(b);
  }
};

// An event recorded as a node of the graph happens at each replay.
static void timed_replays() {
  two_streams s;
  float *x = to_device<float>(nullptr, 32), ms = -1;
  cudaEvent_t before, behind;
  cudaEventCreate(&before);
  cudaEventCreate(&behind);
  EXPECT(cudaEventRecordWithFlags(before, s.a, cudaEventRecordExternal), cudaErrorInvalidValue); // outside of a capture
  cudaGetLastError();
  EXPECT(cudaStreamBeginCapture(s.a, cudaStreamCaptureModeGlobal), cudaSuccess);
  EXPECT(cudaEventRecordWithFlags(before, s.a, cudaEventRecordExternal), cudaSuccess);
  DUEL_START(scale_add, 1, 32, 0, s.a, x, 1.0f, 1.0f);
  EXPECT(cudaEventRecordWithFlags(behind, s.a, cudaEventRecordExternal), cudaSuccess);
  EXPECT(cudaStreamEndCapture(s.a, &s.graph), cudaSuccess);
  EXPECT(cudaEventElapsedTime(&ms, before, behind), cudaErrorInvalidResourceHandle); // not yet
  cudaGetLastError();
  cudaGraphExec_t exec;
  EXPECT(cudaGraphInstantiate(&exec, s.graph, 0), cudaSuccess);
  EXPECT(cudaGraphDestroy(s.graph), cudaSuccess);
  for (int round = 0; round < 2; round++) {
    EXPECT(cudaGraphLaunch(exec, s.a), cudaSuccess);
    EXPECT(cudaStreamSynchronize(s.a), cudaSuccess);
    EXPECT(cudaEventElapsedTime(&ms, before, behind), cudaSuccess);
    if (!(ms >= 0)) wrong();
  }
  EXPECT(cudaGraphExecDestroy(exec), cudaSuccess);
  cudaEventDestroy(before);
  cudaEventDestroy(behind);
  cudaFree(x);
}

// y and z in two branches from x, then their sum; replayed three times, with input and output by pinned memory.
static void fork_and_join() {
  two_streams s;
  float *x = to_device<float>(nullptr, 32), *y = to_device<float>(nullptr, 32), *z = to_device<float>(nullptr, 32), *in,
        *out;
  cudaMallocHost(&in, 128);
  cudaMallocHost(&out, 128);
  for (int i = 0; i < 32; i++) out[i] = -1;
  cuemu_reset_counts();
  EXPECT(cudaStreamBeginCapture(s.a, cudaStreamCaptureModeGlobal), cudaSuccess);
  cudaStreamCaptureStatus status;
  EXPECT(cudaStreamIsCapturing(s.a, &status), cudaSuccess);
  if (status != cudaStreamCaptureStatusActive) wrong();
  EXPECT(cudaMemcpyAsync(x, in, 128, cudaMemcpyHostToDevice, s.a), cudaSuccess);
  EXPECT(cudaEventRecord(s.fork, s.a), cudaSuccess);
  EXPECT(cudaStreamWaitEvent(s.b, s.fork, 0), cudaSuccess);
  EXPECT(cudaMemcpyAsync(y, x, 128, cudaMemcpyDeviceToDevice, s.a), cudaSuccess);
  EXPECT(cudaMemcpyAsync(z, x, 128, cudaMemcpyDeviceToDevice, s.b), cudaSuccess);
  DUEL_START(scale_add, 1, 32, 0, s.a, y, 2.0f, 1.0f);
  DUEL_START(scale_add, 1, 32, 0, s.b, z, 3.0f, 5.0f);
  EXPECT(cudaEventRecord(s.join, s.b), cudaSuccess);
  EXPECT(cudaStreamWaitEvent(s.a, s.join, 0), cudaSuccess);
  DUEL_START(add_to, 1, 32, 0, s.a, y, z, x);
  EXPECT(cudaMemcpyAsync(out, x, 128, cudaMemcpyDeviceToHost, s.a), cudaSuccess);
  EXPECT(cudaGetLastError(), cudaSuccess);
  EXPECT(cudaStreamEndCapture(s.a, &s.graph), cudaSuccess);
  size_t nodes = 0;
  EXPECT(cudaGraphGetNodes(s.graph, nullptr, &nodes), cudaSuccess);
  if (nodes != 7 || out[0] != -1 || cuemu_count("kernels") != 0) wrong();
  cudaGraphExec_t exec;
  EXPECT(cudaGraphInstantiate(&exec, s.graph, 0), cudaSuccess);
  if (cuemu_branches() != 4) wrong();
  EXPECT(cudaGraphDestroy(s.graph), cudaSuccess);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 32; i++) in[i] = (float)(i + round);
    EXPECT(cudaGraphLaunch(exec, s.a), cudaSuccess);
    EXPECT(cudaStreamSynchronize(s.a), cudaSuccess);
    for (int i = 0; i < 32; i++)
      if (out[i] != 5.0f * (float)(i + round) + 6.0f) wrong();
  }
  if (cuemu_count("kernels") != 9 || cuemu_count("graph") != 3 || cuemu_count("launch") != 3) wrong();
  EXPECT(cudaGraphExecDestroy(exec), cudaSuccess);
  cudaFree(x);
  cudaFree(y);
  cudaFree(z);
  cudaFreeHost(in);
  cudaFreeHost(out);
}

static void lazy_fork_and_join() {
  cuemu_set_streams("lazy");
  fork_and_join();
}

// Ends the capture, which must fail with this error and leave no graph.
static void end(two_streams *s, cudaError_t error) {
  EXPECT(cudaStreamEndCapture(s->a, &s->graph), error);
  if (s->graph) wrong();
  cudaGetLastError();
  cudaStreamCaptureStatus status;
  EXPECT(cudaStreamIsCapturing(s->b, &status), cudaSuccess);
  if (status != cudaStreamCaptureStatusNone) wrong();
}

static void forbidden() {
  two_streams s;
  float *x = to_device<float>(nullptr, 32), *p, host[32];
  EXPECT(cudaStreamEndCapture(s.a, &s.graph), cudaErrorInvalidValue); // none is under way
  EXPECT(cudaStreamBeginCapture(0, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported);

  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeGlobal);
  EXPECT(cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported);
  EXPECT(cudaMemsetAsync(x, 0, 128, s.a), cudaErrorStreamCaptureInvalidated);
  end(&s, cudaErrorStreamCaptureInvalidated);

  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeThreadLocal);
  EXPECT(cudaFree(x), cudaErrorStreamCaptureUnsupported);
  end(&s, cudaErrorStreamCaptureInvalidated);

  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed);
  EXPECT(cudaMalloc(&p, 4), cudaSuccess);
  EXPECT(cudaFree(p), cudaSuccess);
  EXPECT(cudaStreamSynchronize(s.b), cudaSuccess); // takes no part in it
  EXPECT(cudaStreamSynchronize(s.a), cudaErrorStreamCaptureUnsupported);
  end(&s, cudaErrorStreamCaptureInvalidated);

  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed);
  EXPECT(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
  end(&s, cudaErrorStreamCaptureInvalidated);

  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed); // work of a stream that is not joined again
  cudaEventRecord(s.fork, s.a);
  cudaStreamWaitEvent(s.b, s.fork, 0);
  DUEL_START(scale_add, 1, 32, 0, s.b, x, 1.0f, 1.0f);
  end(&s, cudaErrorStreamCaptureUnjoined);

  cudaEventRecord(s.fork, s.b); // an event from outside
  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed);
  EXPECT(cudaStreamWaitEvent(s.a, s.fork, 0), cudaErrorStreamCaptureIsolation);
  end(&s, cudaErrorStreamCaptureInvalidated);

  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed); // an event within, asked from outside
  cudaEventRecord(s.fork, s.a);
  EXPECT(cudaEventQuery(s.fork), cudaErrorCapturedEvent);
  end(&s, cudaErrorStreamCaptureInvalidated);

  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed); // two captures meet
  cudaStreamBeginCapture(s.b, cudaStreamCaptureModeRelaxed);
  cudaEventRecord(s.fork, s.b);
  EXPECT(cudaStreamWaitEvent(s.a, s.fork, 0), cudaErrorStreamCaptureMerge);
  EXPECT(cudaStreamEndCapture(s.b, &s.graph), cudaErrorStreamCaptureInvalidated);
  end(&s, cudaErrorStreamCaptureInvalidated);

  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed); // ended in the wrong stream
  cudaEventRecord(s.fork, s.a);
  cudaStreamWaitEvent(s.b, s.fork, 0);
  EXPECT(cudaStreamEndCapture(s.b, &s.graph), cudaErrorStreamCaptureUnmatched);
  end(&s, cudaErrorStreamCaptureInvalidated);

  cudaStream_t blocking; // the stream 0 would have to wait for the capture
  cudaStreamCreate(&blocking);
  cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed);
  EXPECT(cudaMemsetAsync(x, 0, 4), cudaErrorStreamCaptureImplicit);
  EXPECT(cudaStreamEndCapture(blocking, &s.graph), cudaErrorStreamCaptureInvalidated);
  cudaStreamDestroy(blocking);

  freopen("/dev/null", "w", stderr); // this one explains itself
  cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed);
  EXPECT(cudaMemcpyAsync(x, host, 128, cudaMemcpyHostToDevice, s.a), cudaErrorStreamCaptureUnsupported);
  cudaStreamEndCapture(s.a, &s.graph);
  cudaGraphDestroy(s.graph);
  cudaFree(x);
}

static void injected() {
  two_streams s;
  cuemu_fail("capture", 2, nullptr);
  EXPECT(cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed), cudaSuccess);
  end(&s, cudaErrorStreamCaptureUnsupported);
  EXPECT(cudaStreamBeginCapture(s.a, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT(cudaStreamEndCapture(s.a, &s.graph), cudaSuccess);
  cudaGraphDestroy(s.graph);
}

void test_graphs() {
  clean("graphs: fork, join and replay", fork_and_join);
  clean("graphs: fork, join and replay on lazy streams", lazy_fork_and_join);
  clean("graphs: events within", timed_replays);
  clean("graphs: what a capture forbids", forbidden);
  clean("graphs: an injected fault ends the capture", injected);
}
