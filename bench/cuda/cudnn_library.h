// SPDX-License-Identifier: MIT
// cuDNN, loaded at its first use, so that the benchmarks also run if it is not installed.
#pragma once

#include <cudnn.h>

#include "gradamp/kernels/cuda/shared_library.h"

#define GRADAMP_TEXT_OF(value) #value
#define GRADAMP_TEXT(value) GRADAMP_TEXT_OF(value)

namespace gradamp::bench {

/// The functions of cuDNN that we call.
struct CudnnLibrary {
  SharedLibrary file{"libcudnn.so." GRADAMP_TEXT(CUDNN_MAJOR), GRADAMP_BENCH_LIBRARIES};

#define GRADAMP_CUDNN(member, name) decltype(name)* member = file.find<decltype(name)>(#name)
  GRADAMP_CUDNN(version, cudnnGetVersion);
  GRADAMP_CUDNN(error_string, cudnnGetErrorString);
  GRADAMP_CUDNN(last_error_string, cudnnGetLastErrorString);
  GRADAMP_CUDNN(create, cudnnCreate);
  GRADAMP_CUDNN(destroy, cudnnDestroy);
  GRADAMP_CUDNN(set_stream, cudnnSetStream);
  GRADAMP_CUDNN(create_descriptor, cudnnBackendCreateDescriptor);
  GRADAMP_CUDNN(destroy_descriptor, cudnnBackendDestroyDescriptor);
  GRADAMP_CUDNN(set_attribute, cudnnBackendSetAttribute);
  GRADAMP_CUDNN(get_attribute, cudnnBackendGetAttribute);
  GRADAMP_CUDNN(finalize, cudnnBackendFinalize);
  GRADAMP_CUDNN(execute, cudnnBackendExecute);
#undef GRADAMP_CUDNN
};

/// Error with the reason if it cannot be loaded.
const CudnnLibrary& cudnn();

/// Error with cuDNN's message unless `status` is success.
void check_cudnn(cudnnStatus_t status, const char* call);

}  // namespace gradamp::bench
