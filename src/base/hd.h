// For code that is C and CUDA at once: DUEL_HD begins a function of the host and the device.
#ifndef DUEL_BASE_HD_H
#define DUEL_BASE_HD_H

#ifdef __CUDACC__
#define DUEL_HD static __host__ __device__ __forceinline__
#else
#define DUEL_HD static inline
#endif

#endif
