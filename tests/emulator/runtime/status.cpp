#include "tests/emulator/runtime/status.h"

namespace emulator {

namespace {

struct Line {
    Status status;
    const char *name, *text;
};

constexpr Line kLines[] = {
    {Status::success, "cudaSuccess", "no error"},
    {Status::invalid_value, "cudaErrorInvalidValue", "invalid argument"},
    {Status::memory_allocation, "cudaErrorMemoryAllocation", "out of memory"},
    {Status::invalid_configuration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {Status::invalid_symbol, "cudaErrorInvalidSymbol", "invalid device symbol"},
    {Status::invalid_memcpy_direction, "cudaErrorInvalidMemcpyDirection",
     "invalid copy direction for memcpy"},
    {Status::devices_unavailable, "cudaErrorDevicesUnavailable",
     "CUDA-capable device(s) is/are busy or unavailable"},
    {Status::invalid_device_function, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {Status::no_device, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {Status::invalid_device, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {Status::invalid_kernel_image, "cudaErrorInvalidKernelImage", "device kernel image is invalid"},
    {Status::no_kernel_image, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {Status::invalid_ptx, "cudaErrorInvalidPtx", "a PTX JIT compilation failed"},
    {Status::invalid_source, "cudaErrorInvalidSource", "device kernel image is invalid"},
    {Status::invalid_handle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {Status::illegal_state, "cudaErrorIllegalState",
     "the operation cannot be performed in the present state"},
    {Status::symbol_not_found, "cudaErrorSymbolNotFound", "named symbol not found"},
    {Status::not_ready, "cudaErrorNotReady", "device not ready"},
    {Status::illegal_address, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {Status::launch_failure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {Status::not_supported, "cudaErrorNotSupported", "operation not supported"},
    {Status::capture_unsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {Status::capture_invalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {Status::capture_merge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {Status::capture_unmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {Status::capture_unjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {Status::capture_isolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {Status::capture_implicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {Status::captured_event, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {Status::capture_wrong_thread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
};

const Line* line_of(int status) {
    for (const Line& line : kLines)
        if (static_cast<int>(line.status) == status) return &line;
    return nullptr;
}

}  // namespace

const char* status_name(int status) {
    const Line* line = line_of(status);
    return line ? line->name : "unrecognized error code";
}

const char* status_text(int status) {
    const Line* line = line_of(status);
    return line ? line->text : "unrecognized error code";
}

}  // namespace emulator
