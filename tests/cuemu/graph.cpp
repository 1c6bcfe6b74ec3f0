// Capture and replay. Captured work becomes nodes with their dependencies, and runs only when the graph is launched: in
// the order of capture, in the reverse of it, or at random, as far as dependencies allow.
#include "graph.h"

#include <thread>

struct graph_node {
  std::vector<size_t> after;
  std::function<void()> run;
};

struct CUgraph_st {
  std::vector<graph_node> nodes;
};

struct CUgraphExec_st {
  std::vector<graph_node> nodes;
};

struct cuemu_capture {
  uint64_t id;
  CUstream_st *origin;
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  bool invalid;
  std::unique_ptr<CUgraph_st> graph;
  std::vector<CUstream_st *> streams;
};

namespace {
std::vector<std::unique_ptr<cuemu_capture>> captures; // under way
uint64_t next_id = 1;
unsigned long long branches; // of the graph instantiated last

cuemu_capture *capture_of(uint64_t id) {
  for (const auto &c : captures)
    if (c->id == id) return c.get();
  return nullptr;
}

void join(CUstream_st *s, cuemu_capture *c) {
  s->capture = c;
  c->streams.push_back(s);
}

void add(std::vector<size_t> *to, const std::vector<size_t> &nodes) {
  for (const size_t n : nodes) {
    bool there = false;
    for (const size_t t : *to) there |= t == n;
    if (!there) to->push_back(n);
  }
}

// Whether all that other streams captured comes before the end of the origin.
bool joined(const cuemu_capture *c) {
  const auto &nodes = c->graph->nodes;
  std::vector<bool> reached(nodes.size());
  std::vector<size_t> todo = c->origin->tail;
  while (!todo.empty()) {
    const size_t n = todo.back();
    todo.pop_back();
    if (reached[n]) continue;
    reached[n] = true;
    todo.insert(todo.end(), nodes[n].after.begin(), nodes[n].after.end());
  }
  for (const CUstream_st *s : c->streams)
    for (const size_t n : s->tail)
      if (!reached[n]) return false;
  return true;
}

// A node that may run, by the order of this run.
size_t pick(const std::vector<size_t> &ready) {
  if (cuemu_the_order == CUEMU_RANDOM) return cuemu_random() % ready.size();
  size_t best = 0;
  for (size_t i = 1; i < ready.size(); i++)
    if ((ready[i] < ready[best]) == (cuemu_the_order == CUEMU_FORWARD)) best = i;
  return best;
}

// What ThreadSanitizer sees of a replay: each node is a thread that begins after those it depends on.
struct replay_clocks {
  std::vector<char> done; // a moment for each node's end, and for the beginning
  cuemu_clock *stream;
  size_t turn = 0;
  explicit replay_clocks(size_t nodes) : stream(cuemu_executing) {
    if (CUEMU_CLOCKS) done.resize(nodes + 1);
    if (CUEMU_CLOCKS) release(nodes);
  }
  void release(size_t moment) {
    cuemu_enter_device();
    cuemu_release(&done[moment]);
    cuemu_leave_device();
  }
  void begin(const graph_node &node) {
    static cuemu_clock lent[64]; // to nodes in turn
    if (!CUEMU_CLOCKS) return;
    cuemu_executing = &lent[turn++ % 64];
    cuemu_executing->before = {&done.back()};
    for (const size_t before : node.after) cuemu_executing->before.push_back(&done[before]);
  }
  void end(size_t n) {
    if (CUEMU_CLOCKS) release(n);
  }
  ~replay_clocks() {
    if (!CUEMU_CLOCKS) return;
    cuemu_executing = stream;
    for (char &moment : done) stream->before.push_back(&moment);
    cuemu_enter_device();
    cuemu_leave_device();
  }
};

void replay(const std::vector<graph_node> &nodes) {
  std::vector<size_t> missing(nodes.size()), ready;
  std::vector<std::vector<size_t>> next(nodes.size());
  for (size_t i = 0; i < nodes.size(); i++) {
    missing[i] = nodes[i].after.size();
    for (const size_t before : nodes[i].after) next[before].push_back(i);
    if (missing[i] == 0) ready.push_back(i);
  }
  replay_clocks clocks(nodes.size());
  cuemu_trace("graph %zu\n", nodes.size());
  cuemu_open_memory();
  while (!ready.empty()) {
    const size_t at = pick(ready), n = ready[at];
    ready.erase(ready.begin() + (ptrdiff_t)at);
    clocks.begin(nodes[n]);
    nodes[n].run();
    clocks.end(n);
    for (const size_t i : next[n])
      if (--missing[i] == 0) ready.push_back(i);
  }
  cuemu_shut_memory();
  cuemu_trace("end\n");
}
} // namespace

void cuemu_invalidate(cuemu_capture *c) {
  c->invalid = true;
}

void cuemu_invalidate_id(uint64_t id) {
  if (cuemu_capture *c = capture_of(id)) c->invalid = true;
}

cudaError_t cuemu_forbidden_in_capture() {
  cudaError_t error = cudaSuccess;
  for (const auto &c : captures) {
    const bool mine = c->thread == std::this_thread::get_id();
    if (c->mode == cudaStreamCaptureModeGlobal || (c->mode == cudaStreamCaptureModeThreadLocal && mine)) {
      c->invalid = true;
      error = cudaErrorStreamCaptureUnsupported;
    }
  }
  return error;
}

cudaError_t cuemu_legacy_in_capture() {
  for (const auto &c : captures)
    for (const CUstream_st *s : c->streams)
      if (s->blocking) {
        c->invalid = true;
        return cudaErrorStreamCaptureImplicit;
      }
  return cudaSuccess;
}

cudaError_t cuemu_sync_in_capture() {
  for (const auto &c : captures) c->invalid = true;
  return captures.empty() ? cudaSuccess : cudaErrorStreamCaptureUnsupported;
}

// ---- within a capture
cudaError_t cuemu_capture_work(CUstream_st *s, std::function<void()> run) {
  cuemu_capture *c = s->capture;
  if (c->invalid) return cudaErrorStreamCaptureInvalidated;
  c->graph->nodes.push_back({s->tail, std::move(run)});
  s->tail = {c->graph->nodes.size() - 1};
  return cudaSuccess;
}

cudaError_t cuemu_capture_record(CUstream_st *s, cudaEvent_t event) {
  if (s->capture->invalid) return cudaErrorStreamCaptureInvalidated;
  event->capture_id = s->capture->id;
  event->nodes = s->tail;
  return cudaSuccess;
}

// The waiting stream becomes part of the capture that recorded the event.
cudaError_t cuemu_capture_wait(CUstream_st *s, cudaEvent_t event) {
  if (!event->capture_id) {
    if (!event->at.stream) return cudaSuccess; // never recorded
    s->capture->invalid = true;
    return cudaErrorStreamCaptureIsolation;
  }
  cuemu_capture *c = capture_of(event->capture_id);
  if (!c) return cudaErrorCapturedEvent;
  if (c->invalid) return cudaErrorStreamCaptureInvalidated;
  if (s->capture && s->capture != c) {
    s->capture->invalid = c->invalid = true;
    return cudaErrorStreamCaptureMerge;
  }
  if (s == cuemu_stream(nullptr)) {
    c->invalid = true;
    return cudaErrorStreamCaptureImplicit;
  }
  if (!s->capture) join(s, c);
  add(&s->tail, event->nodes);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  CUEMU_CALL(CUEMU_CAPTURE);
  CUstream_st *s = cuemu_stream(stream);
  if (!s) return cuemu_error(cudaErrorInvalidResourceHandle);
  if (s == cuemu_stream(nullptr)) return cuemu_error(cudaErrorStreamCaptureUnsupported);
  if (s->capture) return cuemu_error(cudaErrorInvalidValue);
  captures.emplace_back(
      new cuemu_capture{next_id++, s, mode, std::this_thread::get_id(), false, std::make_unique<CUgraph_st>(), {}});
  join(s, captures.back().get());
  s->tail.clear();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  cuemu_lock lock;
  const cudaError_t injected = cuemu_call(CUEMU_CAPTURE);
  CUstream_st *s = cuemu_stream(stream);
  if (!s) return cuemu_error(cudaErrorInvalidResourceHandle);
  if (!graph) return cuemu_error(cudaErrorInvalidValue);
  *graph = nullptr;
  cuemu_capture *c = s->capture;
  if (!c) return cuemu_error(injected ? injected : cudaErrorInvalidValue);
  if (c->origin != s) {
    c->invalid = true;
    return cuemu_error(cudaErrorStreamCaptureUnmatched);
  }
  if (c->mode != cudaStreamCaptureModeRelaxed && c->thread != std::this_thread::get_id())
    return cuemu_error(cudaErrorStreamCaptureWrongThread);
  cudaError_t error = injected;
  if (!error && c->invalid) error = cudaErrorStreamCaptureInvalidated;
  if (!error && !joined(c)) error = cudaErrorStreamCaptureUnjoined;
  if (!error) *graph = c->graph.release();
  for (CUstream_st *member : c->streams) {
    member->capture = nullptr;
    member->tail.clear();
  }
  for (auto it = captures.begin(); it != captures.end(); ++it)
    if (it->get() == c) {
      captures.erase(it);
      break;
    }
  return cuemu_error(error);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status) {
  CUEMU_CALL(CUEMU_QUERY);
  const CUstream_st *s = cuemu_stream(stream);
  if (!s) return cuemu_error(cudaErrorInvalidResourceHandle);
  *status = !s->capture           ? cudaStreamCaptureStatusNone
            : s->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

// ---- graphs
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
  CUEMU_CALL(CUEMU_QUERY);
  if (!graph || !count || nodes) return cuemu_error(cudaErrorInvalidValue); // only how many there are
  *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long) {
  CUEMU_CALL(CUEMU_CAPTURE);
  if (!exec || !graph) return cuemu_error(cudaErrorInvalidValue);
  *exec = new CUgraphExec_st{graph->nodes};
  branches = 0;
  for (size_t i = 1; i < graph->nodes.size(); i++) branches += graph->nodes[i].after != std::vector<size_t>{i - 1};
  return cudaSuccess;
}

unsigned long long cuemu_branches() {
  cuemu_lock lock;
  return branches;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t) {
  CUEMU_CALL(CUEMU_QUERY);
  return cuemu_error(exec ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  CUEMU_CALL(CUEMU_GRAPH);
  if (!exec) return cuemu_error(cudaErrorInvalidValue);
  if (!cuemu_stream_valid(stream)) return cuemu_error(cudaErrorInvalidResourceHandle);
  return cuemu_error(cuemu_submit(stream, [nodes = exec->nodes] { replay(nodes); }));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  CUEMU_CALL(CUEMU_FREE);
  if (!exec) return cuemu_error(cudaErrorInvalidValue);
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  CUEMU_CALL(CUEMU_FREE);
  if (!graph) return cuemu_error(cudaErrorInvalidValue);
  delete graph;
  return cudaSuccess;
}
