// Streams as graph.cpp and stream.cpp share them.
#ifndef CUEMU_GRAPH_H
#define CUEMU_GRAPH_H

#include "internal.h"

#include <deque>
#include <memory>
#include <vector>

struct moment { // the end of a work of a stream
  CUstream_st *stream;
  uint64_t number;
};

struct work {
  uint64_t number;
  std::vector<moment> after;
  std::function<void()> run;
};

struct cuemu_capture;

struct CUstream_st {
  bool alive = false, blocking = false;
  int device = 0;
  uint64_t submitted = 0, done = 0;
  std::deque<work> queue;
  cuemu_clock clock;
  char given = 0; // the host's last work for it
  cuemu_capture *capture = nullptr;
  std::vector<size_t> tail; // nodes of the capture that the next one depends on
};

struct CUevent_st {
  bool timed = false;
  double ms = 0;
  char happened = 0;
  moment at = {nullptr, 0};
  uint64_t capture_id = 0; // last recorded in this capture
  std::vector<size_t> nodes;
};

#pragma GCC visibility push(hidden)
CUstream_st *cuemu_stream(cudaStream_t s); // NULL: no such stream

// ---- graph.cpp
cudaError_t cuemu_capture_work(CUstream_st *s, std::function<void()> run);
cudaError_t cuemu_capture_record(CUstream_st *s, cudaEvent_t event);
cudaError_t cuemu_capture_wait(CUstream_st *s, cudaEvent_t event);
cudaError_t cuemu_legacy_in_capture(void); // work on the legacy stream, which a capture on a blocking one forbids
cudaError_t cuemu_sync_in_capture(void);   // a wait for the whole device
void cuemu_invalidate(cuemu_capture *capture);
void cuemu_invalidate_id(uint64_t id);
#pragma GCC visibility pop

#endif
