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

void ok(cudaError_t status) {
    if (status == cudaSuccess) return;
    std::printf("refused: %s\n", cudaGetErrorString(status));
    std::exit(3);
}

cudaStream_t new_stream(unsigned flags = cudaStreamNonBlocking) {
    cudaStream_t stream;
    ok(cudaStreamCreateWithFlags(&stream, flags));
    return stream;
}
float* allocated() {
    float* x;
    ok(cudaMalloc(&x, kBytes));
    return x;
}
float* zeroed(cudaStream_t stream) {
    float* x;
    ok(cudaMallocAsync(&x, kBytes, stream));
    ok(cudaMemsetAsync(x, 0, kBytes, stream));
    return x;
}
void add(float* x, cudaStream_t stream, int count = n) {
    add_one<<<(count + 127) / 128, 128, 0, stream>>>(x, count);
    ok(cudaGetLastError());
}
void fill(float* x, cudaStream_t stream, float value) {
    set<<<(n + 127) / 128, 128, 0, stream>>>(x, n, value);
    ok(cudaGetLastError());
}
// Whether every number on the device is this one.
void expect(const float* x, float value, cudaStream_t stream) {
    std::vector<float> host(n);
    ok(cudaMemcpyAsync(host.data(), x, kBytes, cudaMemcpyDeviceToHost, stream));
    ok(cudaStreamSynchronize(stream));
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
    ok(cudaFreeAsync(x, stream));
    ok(cudaDeviceSynchronize());
}

void right_graph() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    add(x, stream), add(x, stream);
    ok(cudaStreamEndCapture(stream, &graph));
    ok(cudaGraphInstantiate(&executable, graph, 0));
    for (int i = 0; i < 3; ++i) ok(cudaGraphLaunch(executable, stream));
    expect(x, 6, stream);
}

// --- order -------------------------------------------------------------------------------------------

// Cleared on the legacy stream, which a non-blocking one does not wait for, and added to.
void cleared_elsewhere() {
    const cudaStream_t stream = new_stream();
    float* x = allocated();
    ok(cudaMemset(x, 0, kBytes));
    add(x, stream);
    expect(x, 1, stream);
}

// … and written: the clearing comes after, or in between.
void cleared_after_writing() {
    const cudaStream_t stream = new_stream();
    float* x = allocated();
    ok(cudaMemset(x, 0, kBytes));
    fill(x, stream, 7);
    ok(cudaStreamSynchronize(stream));
    ok(cudaDeviceSynchronize());
    expect(x, 7, stream);
}

void two_streams() {
    const cudaStream_t stream = new_stream(), other = new_stream();
    float* x = allocated();
    fill(x, stream, 7);
    add(x, other);
    expect(x, 8, other);
}

// The host reads what a copy has yet to bring.
void unfinished_copy() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    float* host;
    ok(cudaMallocHost(&host, kBytes));
    host[0] = -1;
    for (int i = 0; i < 3; ++i) add(x, stream);
    ok(cudaMemcpyAsync(host, x, kBytes, cudaMemcpyDeviceToHost, stream));
    const float early = host[0];
    ok(cudaStreamSynchronize(stream));
    if (early != host[0]) std::printf("wrong: %g before the wait\n", static_cast<double>(early)), std::exit(4);
}

// --- memory ------------------------------------------------------------------------------------------

void host_pointer() {
    std::vector<float> x(n);
    add(x.data(), nullptr);
    ok(cudaDeviceSynchronize());
}
void device_pointer() {
    float* x = zeroed(nullptr);
    ok(cudaDeviceSynchronize());
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
    ok(cudaStreamSynchronize(stream));
}
void unwritten() {
    const cudaStream_t stream = new_stream();
    add(allocated(), stream);
    ok(cudaStreamSynchronize(stream));
}
void unwritten_copy() {
    const cudaStream_t stream = new_stream();
    expect(allocated(), 0, stream);
}
void used_after_free() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    ok(cudaFreeAsync(x, stream));
    add(x, stream);
    ok(cudaStreamSynchronize(stream));
}
// Freed in the order of a stream that does not wait for the one that uses it.
void freed_elsewhere() {
    const cudaStream_t stream = new_stream(), other = new_stream();
    float* x = zeroed(stream);
    ok(cudaStreamSynchronize(stream));
    for (int i = 0; i < 3; ++i) add(x, stream);
    ok(cudaFreeAsync(x, other));
    ok(cudaStreamSynchronize(other));
    ok(cudaStreamSynchronize(stream));
}
void freed_twice() {
    float* x = allocated();
    ok(cudaFree(x));
    ok(cudaFree(x));
}
void wrong_direction() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    std::vector<float> host(n);
    ok(cudaMemcpyAsync(host.data(), x, kBytes, cudaMemcpyHostToDevice, stream));
}
void overlapping_copy() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    ok(cudaMemcpyAsync(x, x + 1, kBytes - 4, cudaMemcpyDeviceToDevice, stream));
    ok(cudaStreamSynchronize(stream));
}

// --- capture -----------------------------------------------------------------------------------------

cudaStream_t captured(unsigned flags = cudaStreamNonBlocking) {
    const cudaStream_t stream = new_stream(flags);
    ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    return stream;
}
void allocation_in_capture() {
    captured();
    allocated();
}
void wait_in_capture() { ok(cudaStreamSynchronize(captured())); }
void clear_in_capture() {
    float* x = allocated();
    captured();
    ok(cudaMemset(x, 0, kBytes));
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
    ok(cudaStreamEndCapture(stream, &graph));
}

// --- calls -------------------------------------------------------------------------------------------

void too_many_threads() {
    add_one<<<1, 2048>>>(allocated(), n);
    ok(cudaGetLastError());
}
void destroyed_stream() {
    const cudaStream_t stream = new_stream();
    float* x = zeroed(stream);
    ok(cudaStreamDestroy(stream));
    add(x, stream);
}
void not_emulated() {
    cudaArray_t array;
    const cudaChannelFormatDesc format{32, 0, 0, 0, cudaChannelFormatKindFloat};
    ok(cudaMallocArray(&array, &format, 16, 16));
}

const std::map<std::string, std::function<void()>> kPrograms{
    {"right", right}, {"right_graph", right_graph}, {"cleared_elsewhere", cleared_elsewhere},
    {"cleared_after_writing", cleared_after_writing}, {"two_streams", two_streams},
    {"unfinished_copy", unfinished_copy}, {"host_pointer", host_pointer},
    {"device_pointer", device_pointer}, {"device_pointer_memcpy", device_pointer_memcpy},
    {"past_the_end", past_the_end}, {"unwritten", unwritten}, {"unwritten_copy", unwritten_copy},
    {"used_after_free", used_after_free}, {"freed_elsewhere", freed_elsewhere},
    {"freed_twice", freed_twice}, {"wrong_direction", wrong_direction},
    {"overlapping_copy", overlapping_copy}, {"allocation_in_capture", allocation_in_capture},
    {"wait_in_capture", wait_in_capture}, {"clear_in_capture", clear_in_capture},
    {"legacy_in_capture", legacy_in_capture}, {"end_of_broken_capture", end_of_broken_capture},
    {"too_many_threads", too_many_threads}, {"destroyed_stream", destroyed_stream},
    {"not_emulated", not_emulated},
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
