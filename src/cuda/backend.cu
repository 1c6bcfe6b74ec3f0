// The CUDA backend: one device, its lanes (streams with a BLAS handle each), memory, copies and errors. Everything runs
// in order of lane 0, which the others fork from and join; what the host waits for, it waits for on lane 0.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/backend.h"

// ---- errors
static const char *advice_of(cudaError_t error) {
  switch (error) {
  case cudaErrorNoDevice:
    return "no NVIDIA GPU is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES, or use run.backend=cpu";
  case cudaErrorInsufficientDriver:
    return "the NVIDIA driver is too old for this build: update it, build with an older toolkit, or use "
           "run.backend=cpu";
  case cudaErrorSystemDriverMismatch:
  case cudaErrorSystemNotReady:
  case cudaErrorInitializationError:
    return "the NVIDIA driver does not work: see nvidia-smi, or use run.backend=cpu";
  case cudaErrorNoKernelImageForDevice:
  case cudaErrorInvalidDeviceFunction:
    return "this build has no code for this GPU: build duel on this machine, or use run.backend=cpu";
  case cudaErrorMemoryAllocation:
    return "the GPU is out of memory: another process may use it (nvidia-smi), or use a smaller batch or model";
  case cudaErrorDevicesUnavailable:
    return "another process has the GPU for itself: wait for it, or choose another one with run.device";
  case cudaErrorIllegalAddress:
  case cudaErrorLaunchFailure:
  case cudaErrorAssert:
  case cudaErrorMisalignedAddress:
  case cudaErrorHardwareStackError:
  case cudaErrorIllegalInstruction:
  case cudaErrorECCUncorrectable:
    return "the device is lost to this process; run.capture=off under compute-sanitizer names the kernel";
  default:
    return NULL;
  }
}

duel_status duel_cuda_fail(cudaError_t error, const char *what) {
  const char *advice = advice_of(error);
  int driver = 0;
  if (error == cudaErrorInsufficientDriver && (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0))
    return duel_fail(DUEL_ERR_DEVICE, "cuda: this machine has no NVIDIA driver; install it, or use run.backend=cpu");
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

static void warn(duel_backend *b, const char *text) {
  const size_t n = strlen(b->warning);
  snprintf(b->warning + n, sizeof b->warning - n, "%s%s", n > 0 ? "; " : "", text);
}

// Before compute capability 8.0 products have one precision, whatever cuBLAS is asked for.
static duel_status choose_precision(duel_backend *b, const char *name, const cudaDeviceProp *device,
                                    duel_precision *precision) {
  const bool automatic = !name || !strcmp(name, "auto"), rounds = device->major >= 8;
  int asked = automatic ? (rounds ? DUEL_TF32 : DUEL_FP32) : 0;
  while (!automatic && asked < 3 && strcmp(name, precision_names[asked])) asked++;
  if (asked == 3)
    return duel_fail(DUEL_ERR_USAGE, "precision: the cuda backend computes in fp32, tf32 or bf16, not in %s", name);
  *precision = rounds ? (duel_precision)asked : DUEL_FP32;
  if (*precision == asked) return DUEL_OK;
  char text[160];
  snprintf(text, sizeof text, "products are computed in fp32: %s needs compute capability 8.0, and this GPU has %d.%d",
           precision_names[asked], device->major, device->minor);
  warn(b, text);
  return DUEL_OK;
}

// How many streams share a group's calls; the bits are the same.
static duel_status choose_lanes(duel_backend *b) {
  const char *lanes = getenv("DUEL_CUDA_LANES");
  b->lanes = DUEL_MOST_LANES;
  if (!lanes || !*lanes || !strcmp(lanes, "4")) return DUEL_OK;
  b->lanes = 1;
  if (!strcmp(lanes, "1")) return DUEL_OK;
  return duel_fail(DUEL_ERR_USAGE, "DUEL_CUDA_LANES is 1 or 4, the streams that share a step's work, not '%s'", lanes);
}

static duel_status open_lane(duel_lane *lane, duel_precision precision, size_t workspace) {
  lane->precision = precision;
  DUEL_CUDA_TRY(cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking), "a stream");
  cublasStatus_t status = cublasCreate(&lane->blas);
  if (status == CUBLAS_STATUS_SUCCESS) status = cublasSetStream(lane->blas, lane->stream);
  if (status != CUBLAS_STATUS_SUCCESS) return duel_cuda_fail_blas(status, "opening cuBLAS");
  DUEL_CUDA_TRY(cudaMalloc(&lane->workspace, workspace), "cuBLAS's workspace");
  status = cublasSetWorkspace(lane->blas, lane->workspace, workspace); // after the stream, which resets it
  return status == CUBLAS_STATUS_SUCCESS ? DUEL_OK : duel_cuda_fail_blas(status, "cuBLAS's workspace");
}

static void close_lane(duel_lane *lane) {
  if (lane->blas) cublasDestroy(lane->blas);
  if (lane->workspace) cudaFree(lane->workspace);
  if (lane->stream) cudaStreamDestroy(lane->stream);
}

static void cuda_close(duel_backend *b) {
  if (b->lane[0].stream) cudaSetDevice(b->device); // else nothing was opened
  for (int i = 0; i < b->lanes; i++) close_lane(&b->lane[i]);
  for (int i = 0; i < DUEL_MOST_LANES; i++)
    if (b->joined[i]) cudaEventDestroy(b->joined[i]);
  if (b->forked) cudaEventDestroy(b->forked);
  for (int i = 0; i < 2; i++) {
    if (b->staged[i]) cudaEventDestroy(b->staged[i]);
    if (b->stage[i]) cudaFreeHost(b->stage[i]);
  }
  duel_free(b);
  cudaGetLastError(); // closing tells nothing, so its failures must not be found by the next to open
}

static duel_status describe(duel_backend *b, const cudaDeviceProp *device) {
  int runtime = 0, driver = 0, blas = 0;
  DUEL_CUDA_TRY(cudaRuntimeGetVersion(&runtime), "the runtime");
  DUEL_CUDA_TRY(cudaDriverGetVersion(&driver), "the driver");
  const cublasStatus_t status = cublasGetVersion(b->lane[0].blas, &blas);
  if (status != CUBLAS_STATUS_SUCCESS) return duel_cuda_fail_blas(status, "cuBLAS's version");
  snprintf(b->identity, sizeof b->identity, "sm_%d%d, CUDA %d.%d, cuBLAS %d.%d.%d, %s", device->major, device->minor,
           runtime / 1000, runtime % 1000 / 10, blas / 10000, blas % 10000 / 100, blas % 100,
           precision_names[b->lane[0].precision]);
  snprintf(b->text, sizeof b->text, "%.80s, %.0f GiB, driver for CUDA %d.%d, %s%s", device->name,
           (double)device->totalGlobalMem / 1073741824, driver / 1000, driver % 1000 / 10, b->identity,
           b->lanes == 1 ? ", 1 lane" : "");
  return DUEL_OK;
}

static duel_status open_device(duel_backend *b, const duel_backend_options *options) {
  duel_precision precision = DUEL_FP32;
  cudaDeviceProp device;
  int devices = 0;
  DUEL_TRY(choose_lanes(b));
  DUEL_CUDA_TRY(cudaGetDeviceCount(&devices), "looking for a GPU");
  if (options->device < 0 || options->device >= devices)
    return duel_fail(DUEL_ERR_USAGE, "device: there is no GPU %d; this machine has %d, numbered from 0",
                     options->device, devices);
  b->device = options->device;
  b->capture = !options->no_capture;
  DUEL_CUDA_TRY(cudaSetDevice(b->device), "choosing the GPU");
  DUEL_TRY(duel_cuda_check_code());
  DUEL_CUDA_TRY(cudaGetDeviceProperties(&device, b->device), "the device");
  DUEL_TRY(choose_precision(b, options->precision, &device, &precision));
  b->workspace = duel_cuda_workspace(device.major);
  for (int i = 0; i < b->lanes; i++) DUEL_TRY(open_lane(&b->lane[i], precision, b->workspace));
  DUEL_TRY(describe(b, &device));
  for (int i = 1; i < b->lanes; i++)
    DUEL_CUDA_TRY(cudaEventCreateWithFlags(&b->joined[i], cudaEventDisableTiming), "an event");
  if (b->lanes > 1) DUEL_CUDA_TRY(cudaEventCreateWithFlags(&b->forked, cudaEventDisableTiming), "an event");
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

static duel_status cuda_probe(int device) {
  int devices = 0;
  DUEL_CUDA_TRY(cudaGetDeviceCount(&devices), "looking for a GPU");
  if (devices <= 0) return duel_cuda_fail(cudaErrorNoDevice, "looking for a GPU");
  if (device < 0 || device >= devices) return DUEL_OK; // opening it tells
  DUEL_CUDA_TRY(cudaSetDevice(device), "choosing the GPU");
  return duel_cuda_check_code();
}

static const char *cuda_describe(duel_backend *b) {
  return b->text;
}

static const char *cuda_identity(duel_backend *b) {
  return b->identity;
}

static const char *cuda_warning(duel_backend *b) {
  return b->warning;
}

static bool cuda_has(duel_backend *, duel_op op) {
  return duel_cuda_kernel_of(op) != NULL;
}

static size_t cuda_scratch(duel_backend *, const duel_call *call) {
  const duel_cuda_kernel *kernel = duel_cuda_kernel_of(call->op);
  return kernel->scratch ? kernel->scratch(call) : 0;
}

// ---- captures
static duel_status warm_with(duel_backend *b, float *numbers) {
  constexpr int64_t n = 64;
  DUEL_CUDA_TRY(cudaMemsetAsync(numbers, 0, n * n * sizeof *numbers, b->lane[0].stream), "a first product");
  DUEL_CUDA_TRY(cudaStreamSynchronize(b->lane[0].stream), "a first product");
  for (int i = 0; i < b->lanes; i++) {
    duel_gemm g = {};
    g.m = g.n = g.k = n;
    g.a = g.b = numbers;
    g.c = numbers + (i + 1) * n * n;
    g.batch = 1;
    duel_cuda_gemm(&b->lane[i], &g);
  }
  for (int i = 0; i < b->lanes; i++) {
    const duel_status status = b->lane[i].status;
    b->lane[i].status = DUEL_OK;
    if (status != DUEL_OK) return status;
    DUEL_CUDA_TRY(cudaStreamSynchronize(b->lane[i].stream), "a first product");
  }
  return DUEL_OK;
}

duel_status duel_cuda_warm(duel_backend *b) {
  void *numbers;
  if (b->warm) return DUEL_OK;
  DUEL_CUDA_TRY(cudaMalloc(&numbers, (size_t)(b->lanes + 1) * 64 * 64 * sizeof(float)), "a first product");
  const duel_status status = warm_with(b, (float *)numbers);
  cudaFree(numbers); // waits for the device
  b->warm = status == DUEL_OK;
  return status;
}

duel_status duel_cuda_give_up_capture(duel_backend *b) {
  char text[400];
  snprintf(text, sizeof text, "steps are not captured but launched kernel by kernel, with the same bits (%.300s)",
           duel_cuda_said());
  cudaGetLastError();
  for (int i = 0; i < b->lanes; i++) {
    b->lane[i].status = DUEL_OK;
    DUEL_CUDA_TRY(cudaStreamSynchronize(b->lane[i].stream), "the device, after a capture that failed");
  }
  b->capture = false;
  warn(b, text);
  const size_t n = strlen(b->text);
  snprintf(b->text + n, sizeof b->text - n, ", not captured");
  return DUEL_OK;
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
  const cudaError_t cleared = cudaMemsetAsync(*p, 0, bytes, b->lane[0].stream);
  if (cleared == cudaSuccess) return DUEL_OK;
  cudaFree(*p);
  *p = NULL;
  return duel_cuda_fail(cleared, "clearing an arena");
}

static void cuda_free(duel_backend *b, void *p) {
  cudaSetDevice(b->device);
  cudaFree(p);
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
  DUEL_CUDA_TRY(cudaStreamSynchronize(stream), "an upload");
  return DUEL_OK;
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

// C++ before 20 has no designated initializers.
static constexpr duel_backend_api make_api() {
  duel_backend_api api = {};
  api.name = "cuda";
  api.real = DUEL_F32;
  api.open = cuda_open;
  api.close = cuda_close;
  api.probe = cuda_probe;
  api.describe = cuda_describe;
  api.identity = cuda_identity;
  api.has = cuda_has;
  api.scratch = cuda_scratch;
  api.room = cuda_room;
  api.alloc = cuda_alloc;
  api.free = cuda_free;
  api.upload = cuda_upload;
  api.download = cuda_download;
  api.prepare = duel_cuda_prepare;
  api.run = duel_cuda_run;
  api.release = duel_cuda_release;
  api.open_ring = duel_cuda_open_ring;
  api.close_ring = duel_cuda_close_ring;
  api.ahead = duel_cuda_ahead;
  api.submit = duel_cuda_submit;
  api.collect = duel_cuda_collect;
  api.profile = duel_cuda_profile;
  api.warning = cuda_warning;
  return api;
}

extern const duel_backend_api duel_cuda_backend;
constexpr duel_backend_api duel_cuda_backend = make_api();
