// Files are whole or absent; what was truncated, altered or is another kind of file is refused.

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <locale>
#include <string>

#include "engine/files/checked_json.h"
#include "engine/files/hash.h"
#include "engine/files/store.h"
#include "engine/files/files.h"
#include "engine/files/table.h"
#include "engine/progress.h"
#include "engine/text.h"
#include "sampling/samples/samples_file.h"

using namespace microlift;
namespace fs = std::filesystem;

namespace {

struct TemporaryDirectory {
    fs::path path;
    TemporaryDirectory() {
        std::string name = (fs::temp_directory_path() / "microlift_files_XXXXXX").string();
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

std::string content(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void overwrite(const fs::path& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

int entries(const fs::path& dir) {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(dir)) {
        ++count;
    }
    return count;
}

template <class Work>
std::string refusal(Work&& work) {
    try {
        work();
    } catch (const InputError& error) {
        CHECK(error.exit_code() == 2);
        const std::string message = error.what();
        CHECK(message.find("; ") != std::string::npos);
        CHECK(message.find('\n') == std::string::npos);
        return message;
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// Files of this process may not grow beyond `bytes` while this lives.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) {
        handler_ = std::signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    }
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }

private:
    rlimit before_{};
    void (*handler_)(int) = nullptr;
};

Store example_store(long long n) {
    Store store;
    std::vector<float> state(static_cast<std::size_t>(2 * n));
    std::vector<double> weight(static_cast<std::size_t>(n));
    for (long long i = 0; i < n; ++i) {
        state[static_cast<std::size_t>(2 * i)] = static_cast<float>(i);
        state[static_cast<std::size_t>(2 * i + 1)] = 0.5F * static_cast<float>(i);
        weight[static_cast<std::size_t>(i)] = std::sin(static_cast<double>(i));
    }
    store.put("state", state, {n, 2});
    store.put("weight", weight);
    store.put("flags", std::vector<std::uint8_t>{1, 2, 255});
    store.put_scalar<long long>("step", -7);
    store.attributes["config"] = "a = \"ü\"\nb = 2\n";
    store.attributes["empty"] = "";
    return store;
}

SamplesInfo example_info(long long n) {
    SamplesInfo info;
    info.samples = n;
    info.variables = {"x", "y"};
    info.units = {"nm", ""};
    info.cvs = {"x"};
    info.cv_units = {"nm"};
    info.centers = {-1.0, 1.0};
    info.stiffness = {10.0};
    info.system = "test";
    return info;
}

void write_samples(const fs::path& file, long long n) {
    const SamplesInfo info = example_info(n);
    SamplesWriter writer(file, info);
    const long long stride = n + 3;
    std::vector<float> state(static_cast<std::size_t>(2 * stride));
    std::vector<int> window(static_cast<std::size_t>(n));
    std::vector<double> weight(static_cast<std::size_t>(n));
    for (long long i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(i);
        state[at] = static_cast<float>(i);
        state[at + static_cast<std::size_t>(stride)] = -static_cast<float>(i);
        window[at] = static_cast<int>(i % 2);
        weight[at] = 1.0 / (1.0 + static_cast<double>(i));
    }
    const long long half = n / 2;
    writer.append(half, state.data(), stride, state.data(), stride, window.data(), weight.data());
    writer.append(n - half, state.data() + half, stride, state.data() + half, stride,
                  window.data() + half, weight.data() + half);
    writer.finish();
}

}  // namespace

TEST_CASE("files: numbers have 17 significant digits and read back as themselves") {
    CHECK(format_double(0.1) == "0.10000000000000001");
    CHECK(format_double(1.0) == "1");
    CHECK(format_double(-1.5e-7) == "-1.4999999999999999e-07");
    CHECK(format_double(std::nan("")) == "nan");
    for (double x : {1.0 / 3.0, 1e300, 5e-324, -2.2250738585072014e-308, 123456789.123456789}) {
        CHECK(std::strtod(format_double(x).c_str(), nullptr) == x);
    }
}

TEST_CASE("files: an atomic file is whole or absent") {
    const TemporaryDirectory dir;
    const fs::path file = dir.path / "a.txt";
    write_file(file, "one");
    CHECK(content(file) == "one");
    {
        AtomicFile out(file);
        out.write("two");
        CHECK(content(file) == "one");
    }
    CHECK(content(file) == "one");
    CHECK(entries(dir.path) == 1);
    {
        AtomicFile out(file);
        const std::string large(1 << 20, 'x');
        out.write("two");
        out.write(large);
        out.commit();
        CHECK(content(file) == "two" + large);
    }
    CHECK(entries(dir.path) == 1);
    CHECK(contains(refusal([&] { write_file(dir.path / "no" / "b", ""); }), "No such file"));
    CHECK(contains(refusal([&] { write_file(dir.path, ""); }), "Is a directory"));
    CHECK(contains(refusal([&] { write_file("/dev/null", ""); }), "not a regular file"));
    CHECK(fs::is_character_file("/dev/null"));
    CHECK(contains(refusal([&] { (void)read_file(dir.path / "none", 10); }), "No such file"));
    CHECK(contains(refusal([&] { (void)read_file(file, 10); }), "larger than 10"));
}

TEST_CASE("files: two writers of one file do not share a temporary name") {
    const TemporaryDirectory dir;
    const fs::path file = dir.path / "a.txt";
    AtomicFile first(file), second(file);
    first.write("one");
    second.write("second");
    CHECK(first.temporary() != second.temporary());
    second.commit();
    CHECK(content(file) == "second");
    first.commit();
    CHECK(content(file) == "one");
    CHECK(entries(dir.path) == 1);
    const AtomicFile long_name(dir.path / std::string(250, 'n'));
    CHECK(long_name.temporary().filename().string().size() <= 255);
}

TEST_CASE("files: JSON with a checksum notices every changed letter") {
    Json object;
    object["values"] = std::vector<double>{0.5, 1e-300, -7};
    object["name"] = "x";
    const std::string text = checked_json(object);
    REQUIRE(parse_checked_json(text).has_value());
    CHECK(parse_checked_json(text)->at("values")[1] == Json(1e-300));
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string other = text;
        other[i] = other[i] == '1' ? '2' : '1';
        if (other[i] != text[i]) CHECK_FALSE(parse_checked_json(other).has_value());
        CHECK_FALSE(parse_checked_json(text.substr(0, i)).has_value());
    }
    CHECK_FALSE(parse_checked_json(object.dump()).has_value());
}

TEST_CASE("messages hold nothing that a terminal obeys") {
    const auto on_terminal = [](const std::string& text) {
        return printable(text, kWholeText, Controls::escape);
    };
    CHECK(on_terminal("a\x1b[2J\x07" "b\x7f") == "a\\x1b[2J\\x07b\\x7f");
    CHECK(on_terminal("\xc2\x9b" "1m") == "\\xc2\\x9b1m");
    CHECK(on_terminal("two\nlines\tö ξ") == "two\nlines\tö ξ");
    CHECK(printable("a\x1b[2J\nb\xc2\x9b" "c ξ", kWholeText, Controls::blank) == "a [2J b c ξ");
    CHECK(printable("0123456789", 4, Controls::blank) == "0123...");
    CHECK(printable("012ξ", 4, Controls::blank) == "012...");
    CHECK(printable("012ξ", 5, Controls::blank) == "012ξ");
    CHECK(printable("01ξ345", 4, Controls::blank) == "01ξ...");
}

TEST_CASE("messages are UTF-8, whatever a file holds") {
    const auto blank = [](const std::string& text) {
        return printable(text, kWholeText, Controls::blank);
    };
    for (const std::string right : {"é", "ξ²", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf"})
        CHECK(blank(right) == right);
    CHECK(blank("caf\xe9!") == "caf !");
    CHECK(printable("caf\xe9!", kWholeText, Controls::escape) == "caf\\xe9!");
    // A lone continuation, too long a form, half a surrogate pair, beyond U+10FFFF, cut off.
    for (const char* wrong :
         {"\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"})
        CHECK(blank(wrong).find_first_not_of(' ') == std::string::npos);
}

TEST_CASE("numbers of messages") {
    CHECK(number(1.0 / 3, 4) == "0.3333");
    CHECK(number(1.0 / 3, 7) == "0.3333333");
    CHECK(number(-std::nan(""), 4) == "nan");
    CHECK(number(-1e300, 17).size() < 30);
}

TEST_CASE("files: CSV does not depend on the locale") {
    struct Comma : std::numpunct<char> {
        char do_decimal_point() const override { return ','; }
        char do_thousands_sep() const override { return '.'; }
        std::string do_grouping() const override { return "\3"; }
    };
    const TemporaryDirectory dir;
    const std::locale before = std::locale::global(std::locale(std::locale(), new Comma));
    CsvWriter csv(dir.path / "a.csv", {"cv_1", "name, quoted", "n"});
    csv.row({0.5, std::string("say \"hi\""), 1234567LL});
    csv.finish();
    std::locale::global(before);
    CHECK(content(dir.path / "a.csv") ==
          "cv_1,\"name, quoted\",n\n0.5,\"say \"\"hi\"\"\",1234567\n");
    CsvWriter other(dir.path / "b.csv", {"a"});
    CHECK_THROWS_AS(other.row({1.0, 2.0}), std::logic_error);
}

TEST_CASE("files: tables come back from .npy and .csv, and broken ones are refused") {
    const TemporaryDirectory dir;
    const fs::path npy = dir.path / "a.npy";
    {
        NpyWriter out(npy, 3, 2, false);
        const float rows[] = {1, 2, 3, 4, 5, 6};
        out.append(rows, 1);
        out.append(rows + 2, 2);
        CHECK_THROWS_AS(out.append(rows, 1), std::logic_error);
        out.finish();
    }
    Table table = read_table(npy);
    CHECK(table.rows == 3);
    CHECK(table.columns == 2);
    CHECK(table.values == std::vector<double>{1, 2, 3, 4, 5, 6});
    const std::string good = content(npy);
    CHECK(good.size() == 128 + 24);
    for (std::size_t length = 0; length < good.size(); ++length) {
        overwrite(npy, good.substr(0, length));
        CHECK(refusal([&] { (void)read_table(npy); }) != "");
    }
    std::string huge = good;
    huge.replace(huge.find("(3, 2)"), 6, "(9223372036854775807, 9)");
    overwrite(npy, huge);
    CHECK(refusal([&] { (void)read_table(npy); }) != "");

    const fs::path csv = dir.path / "a.csv";
    overwrite(csv, "x,y\n1, 2.5\n-3e-1,4\n\n");
    table = read_table(csv);
    CHECK(table.rows == 2);
    CHECK(table.values == std::vector<double>{1, 2.5, -0.3, 4});
    overwrite(csv, "1,2\n3\n");
    CHECK(contains(refusal([&] { (void)read_table(csv); }), "line 2"));
    overwrite(csv, "1,2\n3,z\n");
    CHECK(contains(refusal([&] { (void)read_table(csv); }), "line 2"));
    overwrite(csv, "x,y\n");
    CHECK(contains(refusal([&] { (void)read_table(csv); }), "no numbers"));
}

TEST_CASE("files: what editors and other programs put into tables of states") {
    const TemporaryDirectory dir;
    const fs::path csv = dir.path / "a.csv", npy = dir.path / "a.npy";
    const auto read = [&](const std::string& bytes) {
        overwrite(csv, bytes);
        return read_table(csv);
    };
    const auto refused = [&](const std::string& bytes) {
        overwrite(csv, bytes);
        return refusal([&] { (void)read_table(csv); });
    };
    const std::vector<double> rows{-1, 5, 0, 6};
    const std::string mark = "\xef\xbb\xbf";
    for (const std::string& bytes :
         {std::string("-1,5\n0,6\n"), mark + "-1,5\n0,6\n", mark + "x,y\r\n-1,5\r\n0,6\r\n",
          std::string(" -1 ,\t+5\n\n# between\n0,6"), std::string("\"x\", 'y'\n-1,5\n0,6\n"),
          std::string("# x,y\n-1,5\n0,6\n")}) {
        CAPTURE(bytes);
        const Table table = read(bytes);
        CHECK(table.rows == 2);
        CHECK(table.values == rows);
        const bool named = bytes.find('x') != std::string::npos;
        CHECK(table.names == (named ? std::vector<std::string>{"x", "y"} : std::vector<std::string>{}));
    }
    CHECK(read("# a remark\n1,2\n").commented);
    CHECK(contains(refused("1,nan\n0,6\n"), "line 1, column 2 is nan"));
    CHECK(contains(refused("x,y\n1,2\n-inf,6\n"), "line 3, column 1 is -inf"));
    CHECK(contains(refused("1,2\n3,1e39\n"), "line 2, column 2 is 1e39, beyond single precision"));
    CHECK(contains(refused("1,-1e400\n"), "line 1, column 2 is -1e400, beyond single precision"));
    CHECK(read("1,1e-400\n").values == std::vector<double>{1, 0});
    CHECK(contains(refused("1,O.5\n0,6\n"), "line 1 is not a row of numbers"));
    CHECK(contains(refused("x,y\nu,v\n1,2\n"), "line 2 is not a row of numbers"));
    CHECK(contains(refused("1,2,\n"), "line 1 is not a row of numbers"));
    CHECK(contains(refused("1;2\n3;4\n"), "not a row of numbers"));

    const auto array = [&](std::string header, const std::string& data) {
        header.resize(117, ' ');
        overwrite(npy, std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + "\n" + data);
        return refusal([&] { (void)read_table(npy); });
    };
    const std::string bytes(48, '\0');
    CHECK(array("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }", bytes) == "");
    CHECK(contains(array("{'descr': [('v', '<f8'), ('w', '<i4')], 'fortran_order': False, "
                         "'shape': (2, 2), }", bytes),
                   "not little-endian float32 or float64"));
    const float numbers[] = {1, 2, std::numeric_limits<float>::infinity(), 4};
    CHECK(contains(array("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }",
                         std::string(reinterpret_cast<const char*>(numbers), sizeof numbers)),
                   "row 1, column 0 (counted from 0) is inf"));
}

TEST_CASE("files: one process at a time in a directory") {
    const TemporaryDirectory dir;
    {
        const DirectoryLock lock(dir.path);
        CHECK(contains(refusal([&] { const DirectoryLock second(dir.path); }), "another microlift"));
    }
    const DirectoryLock again(dir.path);
}

TEST_CASE("checkpoint: XXH64 equals the published values, in pieces of any size") {
    const auto hash = [](const std::string& text, std::uint64_t seed = 0) {
        Hash64 h(seed);
        h.add(text.data(), text.size());
        return h.value();
    };
    CHECK(hash("") == 0xEF46DB3751D8E999ULL);
    CHECK(hash("a") == 0xD24EC4F1A98C6E5BULL);
    CHECK(hash("abc") == 0x44BC2CF5AD770999ULL);
    CHECK(hash("", 2654435761ULL) == 0xAC75FDA2929B17EFULL);
    const std::string text =
        "Nobody inspects the spammish repetition, and a tail that is longer than one stripe";
    for (std::size_t step : {1UL, 3UL, 7UL, 31UL, 32UL, 33UL, 64UL}) {
        Hash64 h;
        for (std::size_t at = 0; at < text.size(); at += step) {
            const std::string piece = text.substr(at, step);
            h.add(piece.data(), piece.size());
        }
        CHECK(h.value() == hash(text));
    }
    CHECK(hash("Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1ULL);
}

TEST_CASE("checkpoint: what is saved is loaded, and the same content makes the same bytes") {
    const TemporaryDirectory dir;
    const fs::path file = dir.path / "checkpoint.h5";
    const Store store = example_store(1000);
    store.save(file);
    CHECK(entries(dir.path) == 1);
    Store back = Store::load(file);
    CHECK(back.names() == std::vector<std::string>{"flags", "state", "step", "weight"});
    CHECK(back.attributes == store.attributes);
    CHECK(back.info("state").shape == std::vector<long long>{1000, 2});
    CHECK(std::ranges::equal(back.get<float>("state"), store.get<float>("state")));
    CHECK(std::ranges::equal(back.get<double>("weight"), store.get<double>("weight")));
    CHECK(std::ranges::equal(back.get<std::uint8_t>("flags", 3), store.get<std::uint8_t>("flags")));
    CHECK(back.scalar<long long>("step") == -7);
    CHECK(back.take<float>("state").size() == 2000);
    store.save(dir.path / "again.h5");
    CHECK(content(file) == content(dir.path / "again.h5"));

    CHECK(contains(refusal([&] { (void)back.get<float>("none"); }), "no array 'none'"));
    CHECK(contains(refusal([&] { (void)back.get<float>("weight"); }), "float64"));
    CHECK(contains(refusal([&] { (void)back.get<double>("weight", 999); }), "1000"));
    CHECK_THROWS_AS(Store().put("a", std::vector<float>(3), {2}), std::logic_error);

    // Rows on demand, and arrays without elements.
    Store pieces;
    pieces.put_rows("rows", {DType::i64, {200000, 5}}, [](long long first, long long count, long long row,
                                                         void* out) {
        for (long long i = 0; i < count * row; ++i) {
            static_cast<long long*>(out)[i] = first * row + i;
        }
    });
    pieces.put("nothing", std::vector<float>(), {0, 4});
    pieces.save(file);
    back = Store::load(file);
    CHECK(back.info("nothing").shape == std::vector<long long>{0, 4});
    const auto rows = back.get<long long>("rows", 1000000);
    bool right = true;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        right = right && rows[i] == static_cast<long long>(i);
    }
    CHECK(right);
}

TEST_CASE("checkpoint: every truncated or altered file is refused") {
    const TemporaryDirectory dir;
    const fs::path file = dir.path / "checkpoint.h5";
    example_store(50).save(file);
    const std::string good = content(file);
    const auto load = [&] { (void)Store::load(file); };
    CHECK(refusal(load) == "");
    int refused = 0;
    for (std::size_t at = 0; at < good.size(); at += at < 600 ? 1 : 13) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x10);
        overwrite(file, bad);
        const std::string message = refusal(load);
        CAPTURE(at);
        CHECK(message != "");
        refused += message != "";
    }
    CHECK(refused > 600);
    for (std::size_t length = 0; length < good.size(); length += 97) {
        overwrite(file, good.substr(0, length));
        CAPTURE(length);
        CHECK(refusal(load) != "");
    }
    overwrite(file, good + "x");
    CHECK(contains(refusal(load), "truncated or has grown"));
    overwrite(file, good.substr(0, good.size() - 1));
    CHECK(contains(refusal(load), "truncated or has grown"));
    std::string bad = good;
    bad[good.size() / 2] = static_cast<char>(~bad[good.size() / 2]);
    overwrite(file, bad);
    CHECK(contains(refusal(load), "checksum"));
    overwrite(file, "hello");
    CHECK(contains(refusal(load), "not a file of microlift"));
    fs::remove(file);
    CHECK(contains(refusal(load), "No such file"));
    CHECK(contains(refusal([&] { (void)Store::load(dir.path); }), "not a file of microlift"));
}

TEST_CASE("samples file: rows come back in pieces; damage and other kinds are refused") {
    const TemporaryDirectory dir;
    const fs::path file = dir.path / "samples.h5";
    const long long n = 70001;
    write_samples(file, n);
    const SamplesReader reader(file);
    CHECK(reader.info().samples == n);
    CHECK(reader.info().variables == std::vector<std::string>{"x", "y"});
    CHECK(reader.info().units == std::vector<std::string>{"nm", ""});
    CHECK(reader.info().cvs == std::vector<std::string>{"x"});
    CHECK(reader.info().system == "test");
    std::vector<float> state(20);
    std::vector<float> cv(10);
    std::vector<long long> window(10);
    std::vector<double> weight(10);
    const long long first = 65530;  // across two pieces of writing
    reader.read(first, 10, state.data(), cv.data(), window.data(), weight.data());
    for (int i = 0; i < 10; ++i) {
        const auto at = static_cast<std::size_t>(i);
        CHECK(state[2 * at] == static_cast<float>(first + i));
        CHECK(state[2 * at + 1] == -static_cast<float>(first + i));
        CHECK(cv[at] == static_cast<float>(first + i));
        CHECK(window[at] == (first + i) % 2);
        CHECK(weight[at] == 1.0 / (1.0 + static_cast<double>(first + i)));
    }
    CHECK_THROWS_AS(reader.read(n - 5, 10, state.data(), nullptr, nullptr, nullptr), std::logic_error);

    CHECK(contains(refusal([&] { (void)Store::load(file); }), "not a checkpoint file"));
    std::string bytes = content(file);
    bytes[bytes.size() - 100] = static_cast<char>(bytes[bytes.size() - 100] ^ 1);
    overwrite(file, bytes);
    CHECK(contains(refusal([&] { const SamplesReader damaged(file); }), "checksum"));
    overwrite(file, bytes.substr(0, bytes.size() / 2));
    CHECK(contains(refusal([&] { const SamplesReader damaged(file); }), "truncated"));
    Store store;
    store.put("state", std::vector<float>(4), {2, 2});
    store.save(file, "samples");
    CHECK(contains(refusal([&] { const SamplesReader incomplete(file); }), "no array 'cv'"));
    CHECK_THROWS_AS(SamplesWriter(file, example_info(5)).finish(), std::logic_error);
}

TEST_CASE("files: a file that outgrows the limit leaves one message and no trace") {
    const TemporaryDirectory dir;
    const fs::path file = dir.path / "old";
    write_file(file, "old");
    const Store store = example_store(100000);
    std::string message;
    {
        const FileSizeLimit limit(100000);
        message = refusal([&] { write_file(file, std::string(200000, 'x')); });
    }
    CHECK(contains(message, "cannot write " + file.string() + ": File too large; free some space"));
    CHECK(content(file) == "old");
    {
        const FileSizeLimit limit(100000);
        message = refusal([&] { store.save(file); });
    }
    CHECK(contains(message, "File too large"));
    CHECK(content(file) == "old");
    {
        // The space vanishes only after it was asked for: HDF5 itself meets the error.
        const FileSizeLimit limit(300000);
        message = refusal([&] {
            ArrayFileWriter writer(file, "checkpoint", 0);
            writer.add_array("a", {DType::u8, {1000000}});
            const std::vector<std::uint8_t> values(1000000, 1);
            writer.write("a", 0, 1000000, values.data());
            writer.commit();
        });
    }
    CHECK(contains(message, "File too large"));
    CHECK(content(file) == "old");
    CHECK(entries(dir.path) == 1);
    store.save(file);  // and HDF5 goes on to work
    CHECK(Store::load(file).names().size() == 4);
}

TEST_CASE("files: a full disk leaves one message and no trace") {
    const TemporaryDirectory dir;
    if (::mount("tmpfs", dir.path.c_str(), "tmpfs", 0, "size=256k") != 0) {
        MESSAGE("skipped: a small file system cannot be mounted here (not root)");
        return;
    }
    struct Unmount {
        fs::path path;
        ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
    } const unmount{dir.path};
    const fs::path file = dir.path / "old";
    write_file(file, "old");
    CHECK(contains(refusal([&] { write_file(file, std::string(1 << 20, 'x')); }),
                   "cannot write " + file.string() + ": No space left on device; free some space"));
    CHECK(contains(refusal([&] { example_store(100000).save(file); }), "No space left on device"));
    CHECK(contains(refusal([&] { write_samples(file, 100000); }), "No space left on device"));
    CHECK(contains(refusal([&] { NpyWriter(file, 100000, 2, true).finish(); }),
                   "No space left on device"));
    CHECK(contains(refusal([&] {
                       ArrayFileWriter writer(file, "checkpoint", 0);
                       writer.add_array("a", {DType::u8, {1000000}});
                       const std::vector<std::uint8_t> values(1000000, 1);
                       writer.write("a", 0, 1000000, values.data());
                       writer.commit();
                   }),
                   "No space left on device"));
    CHECK(content(file) == "old");
    CHECK(entries(dir.path) == 1);
}

TEST_CASE("progress: how people read numbers and times") {
    CHECK(format_count(0) == "0");
    CHECK(format_count(999) == "999");
    CHECK(format_count(1234) == "1.23k");
    CHECK(format_count(3.2e8) == "320M");
    CHECK(format_seconds(3.21) == "3.2s");
    CHECK(format_seconds(75) == "1m 15s");
    CHECK(format_seconds(3725) == "1h 02m");
    CHECK(format_seconds(std::numeric_limits<double>::infinity()) == "very long");
}
