// For code that is C and CUDA at once: DUEL_HD begins a function of the host and the device.
#ifndef DUEL_BASE_HD_H
#define DUEL_BASE_HD_H

#ifdef __CUDACC__
#define DUEL_HD static __host__ __device__ __forceinline__
#define DUEL_HD_CALLED static __host__ __device__ __noinline__ // many times by one kernel: fewer registers
#else
#define DUEL_HD static inline
#define DUEL_HD_CALLED static inline
#endif

#endif
