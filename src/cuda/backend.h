// The opened device, shared by backend.cu (which opens it) and program.cu (which runs calls on it).
#ifndef DUEL_CUDA_BACKEND_H
#define DUEL_CUDA_BACKEND_H

#include "cuda/cuda.h"

constexpr int DUEL_MOST_LANES = 4;                  // streams that share the calls of a group, at most
constexpr size_t DUEL_STAGE = (size_t)4 << 20;      // of each pinned buffer that copies go through
constexpr int DUEL_RING = 256;                      // steps that may be submitted and not collected, at most
constexpr size_t DUEL_RING_BYTES = (size_t)4 << 20; // of a ring, unless that held fewer than two launches
constexpr int DUEL_LAUNCH_STEPS = 8;                // steps of one launch

// Bytes of cuBLAS's workspace, a lane, as NVIDIA recommends for a compute capability.
static inline size_t duel_cuda_workspace(int major) {
  return (size_t)(major >= 9 ? 32 : 8) << 20;
}

struct duel_backend {
  int device;
  bool capture;     // programs to come are captured
  bool warm;        // each lane's cuBLAS has multiplied
  int lanes;        // open, 1 or DUEL_MOST_LANES
  size_t workspace; // bytes of cuBLAS's, a lane
  duel_lane lane[DUEL_MOST_LANES];
  cudaEvent_t forked, joined[DUEL_MOST_LANES];
  void *stage[2];
  cudaEvent_t staged[2]; // the last transfer of each buffer
  char text[320], identity[128];
  char warning[640]; // what it does otherwise than it was asked to; empty
};

// ---- program.cu: duel_backend_api's calls of these names
duel_status duel_cuda_open_ring(duel_backend *b, const duel_feed *feed, void **ring);
void duel_cuda_close_ring(duel_backend *b, void *ring);
duel_status duel_cuda_prepare(duel_backend *b, duel_call *calls, const int *group_end, int n_groups, void *ring,
                              void **program);
duel_status duel_cuda_run(duel_backend *b, void *program);
void duel_cuda_release(duel_backend *b, void *program);
int duel_cuda_ahead(const void *ring);
duel_status duel_cuda_submit(duel_backend *b, void *ring, void *program, const void *in);
duel_status duel_cuda_collect(duel_backend *b, void *ring, void *out, bool wait, bool *got);
duel_status duel_cuda_profile(duel_backend *b, void *program, double *seconds);
duel_status duel_cuda_check_code(void); // DEVICE if this build has no machine code for the current device

// ---- backend.cu, for captures
// One product a lane, so that what cuBLAS loads at its first use is loaded outside of a capture.
duel_status duel_cuda_warm(duel_backend *b);
// After a capture that failed, with the message set: from now on nothing is captured and the user is told so, unless
// the device itself is lost, which is a failure.
duel_status duel_cuda_give_up_capture(duel_backend *b);

#endif
