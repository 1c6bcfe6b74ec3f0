// The CUDA backend: one device, its lanes (streams with a BLAS handle each), memory, copies and errors. Everything runs
// in order of lane 0, which the others fork from and join; what the host waits for, it waits for on lane 0.
#include <stdio.h>
#include <string.h>

#include "cuda/backend.h"

// ---- errors
static const char *advice_of(cudaError_t error) {
  switch (error) {
  case cudaErrorNoDevice:
    return "no NVIDIA GPU is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES, or use --backend cpu";
  case cudaErrorInsufficientDriver:
    return "the NVIDIA driver is too old for this build: update it, build with an older toolkit, or use --backend cpu";
  case cudaErrorSystemDriverMismatch:
  case cudaErrorSystemNotReady:
  case cudaErrorInitializationError:
    return "the NVIDIA driver does not work: see nvidia-smi, or use --backend cpu";
  case cudaErrorNoKernelImageForDevice:
  case cudaErrorInvalidDeviceFunction:
    return "this build has no code for this GPU: build duel on this machine, or use --backend cpu";
  case cudaErrorMemoryAllocation:
    return "the GPU is out of memory: another process may use it (nvidia-smi), or use a smaller batch or model";
  case cudaErrorDevicesUnavailable:
    return "another process has the GPU for itself: wait for it, or choose another one with --device";
  case cudaErrorIllegalAddress:
  case cudaErrorLaunchFailure:
  case cudaErrorAssert:
  case cudaErrorMisalignedAddress:
  case cudaErrorHardwareStackError:
  case cudaErrorIllegalInstruction:
  case cudaErrorECCUncorrectable:
    return "the device is lost to this process; --no-capture under compute-sanitizer names the kernel";
  default:
    return NULL;
  }
}

duel_status duel_cuda_fail(cudaError_t error, const char *what) {
  const char *advice = advice_of(error);
  int driver = 0;
  if (error == cudaErrorInsufficientDriver && (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0))
    return duel_fail(DUEL_ERR_DEVICE, "cuda: this machine has no NVIDIA driver; install it, or use --backend cpu");
  cudaGetLastError(); // one that does not stick must not be found by the next call
  return duel_fail(DUEL_ERR_DEVICE, "cuda: %s: %s (%s)%s%s", what, cudaGetErrorString(error), cudaGetErrorName(error),
                   advice ? "; " : "", advice ? advice : "");
}

duel_status duel_cuda_fail_blas(cublasStatus_t status, const char *what) {
  return duel_fail(DUEL_ERR_DEVICE, "cuda: %s: cuBLAS says %s", what, cublasGetStatusString(status));
}

void duel_cuda_launched(duel_lane *lane, const char *kernel) {
  const cudaError_t error = cudaPeekAtLastError();
  if (error != cudaSuccess && lane->status == DUEL_OK) lane->status = duel_cuda_fail(error, kernel);
}

// ---- opening
static const char *const precision_names[] = {"fp32", "tf32", "bf16"}; // by duel_precision

static duel_status precision_of(const char *name, duel_precision *precision) {
  *precision = DUEL_TF32;
  if (!name || !strcmp(name, "auto")) return DUEL_OK;
  for (int i = 0; i < 3; i++) {
    *precision = (duel_precision)i;
    if (!strcmp(name, precision_names[i])) return DUEL_OK;
  }
  return duel_fail(DUEL_ERR_USAGE, "precision: the cuda backend computes in fp32, tf32 or bf16, not in %s", name);
}

static duel_status open_lane(duel_lane *lane, duel_precision precision) {
  lane->precision = precision;
  DUEL_CUDA_TRY(cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking), "a stream");
  cublasStatus_t status = cublasCreate(&lane->blas);
  if (status == CUBLAS_STATUS_SUCCESS) status = cublasSetStream(lane->blas, lane->stream);
  if (status != CUBLAS_STATUS_SUCCESS) return duel_cuda_fail_blas(status, "opening cuBLAS");
  DUEL_CUDA_TRY(cudaMalloc(&lane->workspace, DUEL_WORKSPACE), "cuBLAS's workspace");
  status = cublasSetWorkspace(lane->blas, lane->workspace, DUEL_WORKSPACE); // after the stream, which resets it
  return status == CUBLAS_STATUS_SUCCESS ? DUEL_OK : duel_cuda_fail_blas(status, "cuBLAS's workspace");
}

static void close_lane(duel_lane *lane) {
  if (lane->blas) cublasDestroy(lane->blas);
  if (lane->workspace) cudaFree(lane->workspace);
  if (lane->stream) cudaStreamDestroy(lane->stream);
}

static void cuda_close(duel_backend *b) {
  for (int i = 0; i < DUEL_LANES; i++) close_lane(&b->lane[i]);
  for (int i = 0; i < DUEL_LANES; i++)
    if (b->joined[i]) cudaEventDestroy(b->joined[i]);
  if (b->forked) cudaEventDestroy(b->forked);
  for (int i = 0; i < 2; i++) {
    if (b->staged[i]) cudaEventDestroy(b->staged[i]);
    if (b->stage[i]) cudaFreeHost(b->stage[i]);
  }
  duel_free(b);
  cudaGetLastError(); // closing tells nothing, so its failures must not be found by the next to open
}

static duel_status describe(duel_backend *b, duel_precision precision) {
  cudaDeviceProp device;
  int runtime = 0, driver = 0;
  DUEL_CUDA_TRY(cudaGetDeviceProperties(&device, b->device), "the device");
  DUEL_CUDA_TRY(cudaRuntimeGetVersion(&runtime), "the runtime");
  DUEL_CUDA_TRY(cudaDriverGetVersion(&driver), "the driver");
  snprintf(b->identity, sizeof b->identity, "sm_%d%d, CUDA %d.%d, %s", device.major, device.minor, runtime / 1000,
           runtime % 1000 / 10, precision_names[precision]);
  snprintf(b->text, sizeof b->text, "%.80s, %.0f GiB, driver for CUDA %d.%d, %s", device.name,
           (double)device.totalGlobalMem / 1073741824, driver / 1000, driver % 1000 / 10, b->identity);
  return DUEL_OK;
}

static duel_status open_device(duel_backend *b, const duel_backend_options *options) {
  duel_precision precision;
  int devices = 0;
  DUEL_TRY(precision_of(options->precision, &precision));
  DUEL_CUDA_TRY(cudaGetDeviceCount(&devices), "looking for a GPU");
  if (options->device < 0 || options->device >= devices)
    return duel_fail(DUEL_ERR_USAGE, "device: there is no GPU %d; this machine has %d, numbered from 0",
                     options->device, devices);
  b->device = options->device;
  b->capture = !options->no_capture;
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  DUEL_TRY(duel_cuda_check_code());
  DUEL_TRY(describe(b, precision));
  for (int i = 0; i < DUEL_LANES; i++) DUEL_TRY(open_lane(&b->lane[i], precision));
  for (int i = 0; i < DUEL_LANES; i++)
    DUEL_CUDA_TRY(cudaEventCreateWithFlags(&b->joined[i], cudaEventDisableTiming), "an event");
  DUEL_CUDA_TRY(cudaEventCreateWithFlags(&b->forked, cudaEventDisableTiming), "an event");
  for (int i = 0; i < 2; i++) {
    DUEL_CUDA_TRY(cudaEventCreateWithFlags(&b->staged[i], cudaEventDisableTiming), "an event");
    DUEL_CUDA_TRY(cudaMallocHost(&b->stage[i], DUEL_STAGE), "a pinned buffer");
  }
  return DUEL_OK;
}

static duel_status cuda_open(duel_backend **out, const duel_backend_options *options) {
  *out = NULL;
  duel_backend *b = (duel_backend *)duel_malloc(sizeof *b);
  if (!b) return duel_fail_memory("the cuda backend", sizeof *b);
  memset(b, 0, sizeof *b);
  const duel_status status = open_device(b, options);
  if (status != DUEL_OK) {
    cuda_close(b);
    return status;
  }
  *out = b;
  return DUEL_OK;
}

static duel_status cuda_probe(void) {
  int devices = 0;
  DUEL_CUDA_TRY(cudaGetDeviceCount(&devices), "looking for a GPU");
  return devices > 0 ? DUEL_OK : duel_cuda_fail(cudaErrorNoDevice, "looking for a GPU");
}

static const char *cuda_describe(duel_backend *b) {
  return b->text;
}

static const char *cuda_identity(duel_backend *b) {
  return b->identity;
}

static const duel_kernel *cuda_kernel(duel_backend *, duel_op op) {
  return duel_cuda_kernel(op);
}

// ---- memory
static double cuda_room(duel_backend *b) {
  size_t left = 0, all = 0;
  cudaSetDevice(b->device);
  return cudaMemGetInfo(&left, &all) == cudaSuccess ? (double)left : 0;
}

static duel_status cuda_alloc(duel_backend *b, size_t bytes, void **p) {
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  const cudaError_t error = cudaMalloc(p, bytes > 0 ? bytes : 1);
  if (error == cudaErrorMemoryAllocation) {
    size_t left = 0, all = 0;
    cudaGetLastError();
    cudaMemGetInfo(&left, &all);
    return duel_fail(DUEL_ERR_DEVICE, "%.1f of the GPU's %.1f MiB are free", (double)left / 1048576,
                     (double)all / 1048576);
  }
  if (error != cudaSuccess) return duel_cuda_fail(error, "an arena");
  DUEL_CUDA_TRY(cudaMemsetAsync(*p, 0, bytes, b->lane[0].stream), "clearing an arena");
  return DUEL_OK;
}

static void cuda_free(duel_backend *b, void *p) {
  cudaSetDevice(b->device);
  cudaFree(p);
}

static duel_status cuda_sync(duel_backend *b) {
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  DUEL_CUDA_TRY(cudaStreamSynchronize(b->lane[0].stream), "the work under way");
  return DUEL_OK;
}

// Through two pinned buffers, so that the copy of one piece and the transfer of the next overlap.
static duel_status cuda_upload(duel_backend *b, void *dst, const void *src, size_t bytes) {
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  cudaStream_t stream = b->lane[0].stream;
  for (size_t at = 0, i = 0; at < bytes; at += DUEL_STAGE, i ^= 1) {
    const size_t n = bytes - at < DUEL_STAGE ? bytes - at : DUEL_STAGE;
    DUEL_CUDA_TRY(cudaEventSynchronize(b->staged[i]), "an upload");
    memcpy(b->stage[i], (const char *)src + at, n);
    DUEL_CUDA_TRY(cudaMemcpyAsync((char *)dst + at, b->stage[i], n, cudaMemcpyHostToDevice, stream), "an upload");
    DUEL_CUDA_TRY(cudaEventRecord(b->staged[i], stream), "an upload");
  }
  return cuda_sync(b);
}

static duel_status cuda_download(duel_backend *b, void *dst, const void *src, size_t bytes) {
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  cudaStream_t stream = b->lane[0].stream;
  size_t begun = 0, done = 0; // pieces of the two buffers, in turn
  const size_t pieces = (bytes + DUEL_STAGE - 1) / DUEL_STAGE;
  while (done < pieces) {
    for (; begun < pieces && begun < done + 2; begun++) {
      const size_t at = begun * DUEL_STAGE, n = bytes - at < DUEL_STAGE ? bytes - at : DUEL_STAGE;
      DUEL_CUDA_TRY(cudaMemcpyAsync(b->stage[begun % 2], (const char *)src + at, n, cudaMemcpyDeviceToHost, stream),
                    "a download");
      DUEL_CUDA_TRY(cudaEventRecord(b->staged[begun % 2], stream), "a download");
    }
    const size_t at = done * DUEL_STAGE, n = bytes - at < DUEL_STAGE ? bytes - at : DUEL_STAGE;
    DUEL_CUDA_TRY(cudaEventSynchronize(b->staged[done % 2]), "a download");
    memcpy((char *)dst + at, b->stage[done % 2], n);
    done++;
  }
  return DUEL_OK;
}

extern const duel_backend_api duel_cuda_backend;
const duel_backend_api duel_cuda_backend = {
    "cuda",
    DUEL_F32,
    false,
    cuda_open,
    cuda_close,
    cuda_probe,
    cuda_describe,
    cuda_identity,
    cuda_kernel,
    cuda_room,
    cuda_alloc,
    cuda_free,
    cuda_upload,
    cuda_download,
    cuda_sync,
    duel_cuda_prepare,
    duel_cuda_run,
    duel_cuda_release,
    duel_cuda_ahead,
    duel_cuda_submit,
    duel_cuda_collect,
    duel_cuda_profile,
};
