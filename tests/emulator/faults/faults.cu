// Programs that are wrong, each in one way, and two that are right: `faults NAME`. test_faults.py says how the
// emulated device has to name each. Compiled as anything for a GPU is.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

namespace {

constexpr int n = 1000, kBytes = n * 4;

__global__ void add_one(float* x, int count) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < count) x[i] += 1;
}
__global__ void set(float* x, int count, float value) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < count) x[i] = value;
}

void check(cudaError_t status, const char* call) {
    if (status == cudaSuccess) return;
    std::printf("%s: %s\n", call, cudaGetErrorString(status));
    std::exit(3);
}
#define CHECK(call) check(call, #call)

cudaStream_t new_stream(unsigned flags = cudaStreamNonBlocking) {
    cudaStream_t stream;
    CHECK(cudaStreamCreateWithFlags(&stream, flags));
    return stream;
}
float* allocated() {
    float* x;
    CHECK(cudaMalloc(&x, kBytes));
    return x;
}
float* zeroed(cudaStream_t stream) {
    float* x;
    CHECK(cudaMallocAsync(&x, kBytes, stream));
    CHECK(cudaMemsetAsync(x, 0, kBytes, stream));
    return x;
}
void add(float* x, cudaStream_t stream, int count = n) {
    add_one<<<(count + 127) / 128, 128, 0, stream>>>(x, count);
    CHECK(cudaGetLastError());
}
void fill(float* x, cudaStream_t stream, float value) {
    set<<<(n + 127) / 128, 128, 0, stream>>>(x, n, value);
    CHECK(cudaGetLastError());
}
// Whether every number on the device is this one.
void expect(const float* x, float value, cudaStream_t stream) {
    std::vector<float> host(n);
    CHECK(cudaMemcpyAsync(host.data(), x, kBytes, cudaMemcpyDeviceToHost, stream));
    CHECK(cudaStreamSynchronize(stream));
    for (const float found : host)
        if (found != value) {
            std::printf("wrong: %g, not %g\n", static_cast<double>(found), static_cast<double>(value));
            std::exit(4);
        }
}

// --- right -------------------------------------------------------------------------------------------

void right() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    for (int i = 0; i < 5; ++i) add(x, stream);
    expect(x, 5, stream);
    CHECK(cudaFreeAsync(x, stream));
    CHECK(cudaDeviceSynchronize());
}

void right_graph() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    add(x, stream), add(x, stream);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&executable, graph, 0));
    for (int i = 0; i < 3; ++i) CHECK(cudaGraphLaunch(executable, stream));
    expect(x, 6, stream);
}

// --- order -------------------------------------------------------------------------------------------

// Cleared on the legacy stream, which a non-blocking one does not wait for, and added to.
void cleared_elsewhere() {
    const cudaStream_t stream = new_stream();
    float* x = allocated();
    CHECK(cudaMemset(x, 0, kBytes));
    add(x, stream);
    expect(x, 1, stream);
}

// … and written: the clearing comes after, or in between.
void cleared_after_writing() {
    const cudaStream_t stream = new_stream();
    float* x = allocated();
    CHECK(cudaMemset(x, 0, kBytes));
    fill(x, stream, 7);
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaDeviceSynchronize());
    expect(x, 7, stream);
}

void two_streams() {
    const cudaStream_t stream = new_stream(), other = new_stream();
    float* x = allocated();
    fill(x, stream, 7);
    add(x, other);
    CHECK(cudaStreamSynchronize(stream));
    expect(x, 8, other);
}

// The host reads what a copy has yet to bring.
void unfinished_copy() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    float* host;
    CHECK(cudaMallocHost(&host, kBytes));
    host[0] = -1;
    for (int i = 0; i < 3; ++i) add(x, stream);
    CHECK(cudaMemcpyAsync(host, x, kBytes, cudaMemcpyDeviceToHost, stream));
    const float early = host[0];
    CHECK(cudaStreamSynchronize(stream));
    if (early != host[0]) std::printf("wrong: %g before the wait\n", static_cast<double>(early)), std::exit(4);
}

// --- memory ------------------------------------------------------------------------------------------

void host_pointer() {
    std::vector<float> x(n);
    add(x.data(), nullptr);
    CHECK(cudaDeviceSynchronize());
}
void device_pointer() {
    float* x = zeroed(nullptr);
    CHECK(cudaDeviceSynchronize());
    std::printf("%g\n", static_cast<double>(x[5]));
}
void device_pointer_memcpy() {
    float* x = zeroed(nullptr);
    std::vector<float> host(n);
    std::memcpy(x, host.data(), kBytes);
}
void past_the_end() {
    const cudaStream_t stream = new_stream();
    add(zeroed(stream), stream, n + 1);
    CHECK(cudaStreamSynchronize(stream));
}
void unwritten() {
    const cudaStream_t stream = new_stream();
    add(allocated(), stream);
    CHECK(cudaStreamSynchronize(stream));
}
void unwritten_copy() {
    const cudaStream_t stream = new_stream();
    expect(allocated(), 0, stream);
}
void used_after_free() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    CHECK(cudaFreeAsync(x, stream));
    add(x, stream);
    CHECK(cudaStreamSynchronize(stream));
}
// Freed in the order of a stream that does not wait for the one that uses it.
void freed_elsewhere() {
    const cudaStream_t stream = new_stream(), other = new_stream();
    float* x = zeroed(stream);
    CHECK(cudaStreamSynchronize(stream));
    for (int i = 0; i < 3; ++i) add(x, stream);
    CHECK(cudaFreeAsync(x, other));
    CHECK(cudaStreamSynchronize(other));
    CHECK(cudaStreamSynchronize(stream));
}
void freed_twice() {
    float* x = allocated();
    CHECK(cudaFree(x));
    CHECK(cudaFree(x));
}
void wrong_direction() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    std::vector<float> host(n);
    CHECK(cudaMemcpyAsync(host.data(), x, kBytes, cudaMemcpyHostToDevice, stream));
}
void overlapping_copy() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    CHECK(cudaMemcpyAsync(x, x + 1, kBytes - 4, cudaMemcpyDeviceToDevice, stream));
    CHECK(cudaStreamSynchronize(stream));
}

// --- capture -----------------------------------------------------------------------------------------

cudaStream_t captured(unsigned flags = cudaStreamNonBlocking) {
    const cudaStream_t stream = new_stream(flags);
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    return stream;
}
void allocation_in_capture() {
    captured();
    allocated();
}
void wait_in_capture() { CHECK(cudaStreamSynchronize(captured())); }
void clear_in_capture() {
    float* x = allocated();
    captured();
    CHECK(cudaMemset(x, 0, kBytes));
}
void legacy_in_capture() {
    float* x = allocated();
    captured(cudaStreamDefault);
    fill(x, nullptr, 1);
}
void end_of_broken_capture() {
    const cudaStream_t stream = captured();
    float* x;
    cudaMalloc(&x, kBytes);
    cudaGraph_t graph;
    CHECK(cudaStreamEndCapture(stream, &graph));
}

// --- calls -------------------------------------------------------------------------------------------

void too_many_threads() {
    add_one<<<1, 2048>>>(allocated(), n);
    CHECK(cudaGetLastError());
}
void destroyed_stream() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    CHECK(cudaStreamDestroy(stream));
    add(x, stream);
}
void not_emulated() {
    cudaArray_t array;
    const cudaChannelFormatDesc format{32, 0, 0, 0, cudaChannelFormatKindFloat};
    CHECK(cudaMallocArray(&array, &format, 16, 16));
}

#define PROGRAM(name) {#name, name}
const std::map<std::string, std::function<void()>> kPrograms{
    PROGRAM(right), PROGRAM(right_graph), PROGRAM(cleared_elsewhere), PROGRAM(cleared_after_writing),
    PROGRAM(two_streams), PROGRAM(unfinished_copy), PROGRAM(host_pointer), PROGRAM(device_pointer),
    PROGRAM(device_pointer_memcpy), PROGRAM(past_the_end), PROGRAM(unwritten), PROGRAM(unwritten_copy),
    PROGRAM(used_after_free), PROGRAM(freed_elsewhere), PROGRAM(freed_twice), PROGRAM(wrong_direction),
    PROGRAM(overlapping_copy), PROGRAM(allocation_in_capture), PROGRAM(wait_in_capture),
    PROGRAM(clear_in_capture), PROGRAM(legacy_in_capture), PROGRAM(end_of_broken_capture),
    PROGRAM(too_many_threads), PROGRAM(destroyed_stream), PROGRAM(not_emulated),
};

}  // namespace

int main(int count, char** words) {
    const auto program = kPrograms.find(count == 2 ? words[1] : "");
    if (program == kPrograms.end()) {
        for (const auto& [name, run] : kPrograms) std::printf("%s\n", name.c_str());
        return 2;
    }
    program->second();
    std::printf("right\n");
    return 0;
}
