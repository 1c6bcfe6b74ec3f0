// Streams and events. Eager: work runs within the call that asks for it. Lazy: it waits in its stream until something
// waits for it, in the order that streams and events demand and, between streams, in any other.
//
// Invariant: work of a stream runs in order, and only after all that it depends on. A work's number in its stream says
// whether it is done: numbers up to `done` are.
#include "graph.h"

#include <chrono>

namespace {
struct streams_of_device {
  CUstream_st legacy; // stream 0: orders itself with every stream that is not cudaStreamNonBlocking
  std::vector<std::unique_ptr<CUstream_st>> all;   // destroyed ones too: events may name them
  std::vector<std::shared_ptr<CUevent_st>> events; // those alive; work under way holds them too
  streams_of_device() {
    legacy.alive = true;
    legacy.blocking = true;
  }
};
streams_of_device device;

CUstream_st *resolve(cudaStream_t s) {
  return !s || s == cudaStreamLegacy ? &device.legacy : s;
}

bool satisfied(const work &w) {
  for (const moment &m : w.after)
    if (m.stream->done < m.number) return false;
  return true;
}

// Runs a work as its stream; stream 0 has all that blocking streams have done behind it, and they what it has done.
void run(CUstream_st *s, const std::function<void()> &what) {
  if (CUEMU_CLOCKS) {
    s->clock.before = {&s->given};
    if (s == &device.legacy) {
      for (const auto &other : device.all)
        if (other->blocking) s->clock.before.push_back(&other->clock.after);
    } else if (s->blocking) {
      s->clock.before.push_back(&device.legacy.clock.after);
    }
  }
  cuemu_executing = &s->clock;
  what();
}

void run_head(CUstream_st *s) {
  const work w = std::move(s->queue.front());
  s->queue.pop_front();
  run(s, w.run);
  s->done = w.number;
}

// Any stream whose next work may run, chosen by the order of this run; NULL: none.
CUstream_st *choose() {
  std::vector<CUstream_st *> ready;
  if (!device.legacy.queue.empty() && satisfied(device.legacy.queue.front())) ready.push_back(&device.legacy);
  for (const auto &s : device.all)
    if (!s->queue.empty() && satisfied(s->queue.front())) ready.push_back(s.get());
  if (ready.empty()) return nullptr;
  return cuemu_the_order == CUEMU_RANDOM ? ready[cuemu_random() % ready.size()] : ready.back();
}

// Forward order does no more than it must; the others run whatever may run.
void run_until(CUstream_st *s, uint64_t number) {
  while (s->done < number) {
    if (cuemu_the_order == CUEMU_FORWARD) {
      const std::vector<moment> after = s->queue.front().after;
      for (const moment &m : after) run_until(m.stream, m.number);
      run_head(s);
    } else {
      run_head(choose());
    }
  }
}

void enqueue(CUstream_st *s, std::vector<moment> after, std::function<void()> what) {
  s->submitted++;
  cuemu_release(&s->given);
  if (!cuemu_lazy()) {
    run(s, what);
    s->done = s->submitted;
    return;
  }
  if (s == &device.legacy) {
    for (const auto &other : device.all)
      if (other->blocking) after.push_back({other.get(), other->submitted});
  } else if (s->blocking) {
    after.push_back({&device.legacy, device.legacy.submitted});
  }
  s->queue.push_back({s->submitted, std::move(after), std::move(what)});
}

std::shared_ptr<CUevent_st> find_event(cudaEvent_t e) { // NULL: no such event
  for (const auto &event : device.events)
    if (event.get() == e) return event;
  return nullptr;
}
} // namespace

bool cuemu_stream_valid(cudaStream_t s) {
  if (!s || s == cudaStreamLegacy) return true;
  for (const auto &stream : device.all)
    if (stream.get() == s) return stream->alive;
  return false;
}

bool cuemu_on_current(cudaStream_t s) {
  return !s || s == cudaStreamLegacy || s->device == cuemu_device(); // each device has a stream 0
}

bool cuemu_capturing(cudaStream_t s) {
  return resolve(s)->capture != nullptr;
}

CUstream_st *cuemu_stream(cudaStream_t s) {
  return cuemu_stream_valid(s) ? resolve(s) : nullptr;
}

cudaError_t cuemu_submit(cudaStream_t stream, std::function<void()> run) {
  CUstream_st *s = resolve(stream);
  if (s->capture) return cuemu_capture_work(s, std::move(run));
  if (s == &device.legacy)
    if (const cudaError_t error = cuemu_legacy_in_capture()) return error;
  enqueue(s, {}, std::move(run));
  return cudaSuccess;
}

void cuemu_finish_stream(cudaStream_t stream) {
  CUstream_st *s = resolve(stream);
  run_until(s, s->submitted);
  cuemu_acquire(&s->clock.after);
  cuemu_host_waited();
}

void cuemu_finish_all() {
  run_until(&device.legacy, device.legacy.submitted);
  cuemu_acquire(&device.legacy.clock.after);
  for (const auto &s : device.all) {
    run_until(s.get(), s->submitted);
    cuemu_acquire(&s->clock.after);
  }
  cuemu_host_waited();
}

// ---- streams
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  CUEMU_CALL(CUEMU_STREAM);
  if (!stream || flags > cudaStreamNonBlocking) return cuemu_error(cudaErrorInvalidValue);
  device.all.emplace_back(new CUstream_st());
  CUstream_st *s = device.all.back().get();
  s->alive = true;
  s->device = cuemu_device();
  s->blocking = flags != cudaStreamNonBlocking;
  cuemu_start_clock(&s->clock);
  *stream = s;
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  CUEMU_CALL(CUEMU_FREE);
  if (!stream || !cuemu_stream_valid(stream)) return cuemu_error(cudaErrorInvalidResourceHandle);
  CUstream_st *s = resolve(stream);
  if (s->capture) cuemu_invalidate(s->capture);
  run_until(s, s->submitted); // CUDA finishes it in its own time
  s->alive = false;
  return cudaSuccess;
}

// What may not be asked of a stream under capture, nor of any while a thread may not.
static cudaError_t askable(cudaStream_t stream, CUstream_st **s) {
  if (!cuemu_stream_valid(stream)) return cudaErrorInvalidResourceHandle;
  *s = resolve(stream);
  if (!(*s)->capture) return cuemu_forbidden_in_capture();
  cuemu_invalidate((*s)->capture);
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  CUEMU_CALL(CUEMU_SYNC);
  CUstream_st *s;
  if (const cudaError_t error = askable(stream, &s)) return cuemu_error(error);
  if (s == &device.legacy)
    if (const cudaError_t error = cuemu_legacy_in_capture()) return cuemu_error(error);
  cuemu_finish_stream(stream);
  return cudaSuccess;
}

// A question that is asked again and again ends: each answer "not ready" lets one work run.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  CUEMU_CALL(CUEMU_QUERY);
  CUstream_st *s;
  if (const cudaError_t error = askable(stream, &s)) return cuemu_error(error);
  if (s->done == s->submitted) {
    cuemu_acquire(&s->clock.after);
    return cudaSuccess;
  }
  run_until(s, s->done + 1);
  return cuemu_error(cudaErrorNotReady);
}

cudaError_t cudaDeviceSynchronize() {
  CUEMU_CALL(CUEMU_SYNC);
  if (const cudaError_t error = cuemu_sync_in_capture()) return cuemu_error(error);
  cuemu_finish_all();
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t fn, void *data) {
  CUEMU_CALL(CUEMU_LAUNCH);
  if (!cuemu_stream_valid(stream)) return cuemu_error(cudaErrorInvalidResourceHandle);
  if (!fn) return cuemu_error(cudaErrorInvalidValue);
  return cuemu_error(cuemu_submit(stream, [fn, data] {
    cuemu_enter_device();
    fn(data);
    cuemu_leave_device();
  }));
}

// ---- events
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  CUEMU_CALL(CUEMU_EVENT);
  if (!event || flags > (cudaEventBlockingSync | cudaEventDisableTiming)) return cuemu_error(cudaErrorInvalidValue);
  device.events.emplace_back(new CUevent_st());
  *event = device.events.back().get();
  (*event)->timed = !(flags & cudaEventDisableTiming);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  CUEMU_CALL(CUEMU_FREE);
  for (auto it = device.events.begin(); it != device.events.end(); ++it)
    if (it->get() == event) {
      device.events.erase(it);
      return cudaSuccess;
    }
  return cuemu_error(cudaErrorInvalidResourceHandle);
}

static void happen(CUevent_st *event) {
  cuemu_enter_device();
  cuemu_release(&event->happened);
  cuemu_leave_device();
  if (event->timed)
    event->ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

// External: within a capture a node of the graph, which records the event whenever it runs.
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  CUEMU_CALL(CUEMU_EVENT);
  if (!find_event(event) || !cuemu_stream_valid(stream)) return cuemu_error(cudaErrorInvalidResourceHandle);
  if (flags > cudaEventRecordExternal) return cuemu_error(cudaErrorInvalidValue);
  CUstream_st *s = resolve(stream);
  if (s->capture && flags == cudaEventRecordExternal)
    return cuemu_error(cuemu_capture_work(s, [recorded = find_event(event), s] {
      cuemu_trace("mark\n");
      happen(recorded.get());
      recorded->at = {s, 0};
    }));
  if (flags == cudaEventRecordExternal) return cuemu_error(cudaErrorInvalidValue);
  if (s->capture) return cuemu_error(cuemu_capture_record(s, event));
  if (s == &device.legacy)
    if (const cudaError_t error = cuemu_legacy_in_capture()) return cuemu_error(error);
  event->capture_id = 0;
  event->at = {s, s->submitted + 1};
  enqueue(s, {}, [recorded = find_event(event)] { happen(recorded.get()); });
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  CUEMU_CALL(CUEMU_EVENT);
  if (!find_event(event) || !cuemu_stream_valid(stream)) return cuemu_error(cudaErrorInvalidResourceHandle);
  CUstream_st *s = resolve(stream);
  if (s->capture || event->capture_id) return cuemu_error(cuemu_capture_wait(s, event));
  if (event->at.stream)
    enqueue(s, {event->at}, [awaited = find_event(event)] {
      cuemu_enter_device();
      cuemu_acquire(&awaited->happened);
      cuemu_leave_device();
    });
  return cudaSuccess;
}

static cudaError_t captured(cudaEvent_t event) {
  if (!event->capture_id) return cudaSuccess;
  cuemu_invalidate_id(event->capture_id);
  return cudaErrorCapturedEvent;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  CUEMU_CALL(CUEMU_SYNC);
  if (!find_event(event)) return cuemu_error(cudaErrorInvalidResourceHandle);
  if (const cudaError_t error = captured(event)) return cuemu_error(error);
  if (const cudaError_t error = cuemu_forbidden_in_capture()) return cuemu_error(error);
  if (event->at.stream) run_until(event->at.stream, event->at.number);
  cuemu_acquire(&event->happened);
  cuemu_host_waited();
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  CUEMU_CALL(CUEMU_QUERY);
  if (!find_event(event)) return cuemu_error(cudaErrorInvalidResourceHandle);
  if (const cudaError_t error = captured(event)) return cuemu_error(error);
  if (const cudaError_t error = cuemu_forbidden_in_capture()) return cuemu_error(error);
  CUstream_st *s = event->at.stream;
  if (!s || s->done >= event->at.number) {
    cuemu_acquire(&event->happened);
    return cudaSuccess;
  }
  run_until(s, s->done + 1);
  return cuemu_error(cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) {
  CUEMU_CALL(CUEMU_QUERY);
  if (!ms || !find_event(start) || !find_event(end) || !start->timed || !end->timed || !start->at.stream ||
      !end->at.stream)
    return cuemu_error(cudaErrorInvalidResourceHandle);
  if (start->at.stream->done < start->at.number || end->at.stream->done < end->at.number)
    return cuemu_error(cudaErrorNotReady);
  *ms = (float)(end->ms - start->ms);
  return cudaSuccess;
}
