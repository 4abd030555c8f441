// What `check` says of where trajectories begin and of collective variables that no bias can follow: one
// message that names the formula, the variable and the value.

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "engine/files/files.h"
#include "sampling/run/config/run_config.h"
#include "sampling/run/config/starts.h"

using namespace microlift;

namespace {

struct Job {
    std::string variables = R"(["x", "y"])", potential = "x^2 + y^2", cvs = R"(["x"])";
    std::string from = "-1.2", to = "1.2", windows = "13", more;

    std::string text() const {
        return "[system]\nvariables = " + variables + "\npotential = \"" + potential +
               "\"\nbeta = 1.0\n[cv]\nvariables = " + cvs + "\n[integrator]\ndt = 1e-3\n[umbrella]\nfrom = " +
               from + "\nto = " + to + "\nwindows = " + windows + "\nstiffness = 40.0\n" + more;
    }
    std::string refusal() const {
        try {
            check_run_config(text(), "run.toml", {}, 1e300);
        } catch (const InputError& error) {
            CHECK(error.exit_code() == 2);
            return error.what();
        }
        return "";
    }
};

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}


// One message that says this.
void says(const Job& job, const std::string& part) {
    const std::string message = job.refusal();
    CAPTURE(message);
    CAPTURE(part);
    CHECK(contains(message, part));
    CHECK(!contains(message, "\n"));
}

std::string initial(const std::string& value) { return "initial = " + value + "\n"; }

}  // namespace

TEST_CASE("starts: a formula that is not finite where trajectories begin is named, with the state") {
    Job radius;
    radius.cvs = R"cv(["sqrt(x^2+y^2)"])cv";
    radius.from = "0.2";
    says(radius, "key 'umbrella.initial': the derivative of the collective variable 'sqrt(x^2+y^2)' by x "
                 "is not finite at x = 0, y = 0 (\"line\" begins at the state zero)");
    radius.more = initial("[0.1, 0.1]");
    CHECK(radius.refusal() == "");

    Job pole;
    pole.potential = "x^2 + 1/y^2";
    says(pole, "'umbrella.initial': 'system.potential' is inf where window 0 begins, at x = -1.2, y = 0");
    Job root;
    root.potential = "3*sqrt(abs(x)) + x^2 + y^2";
    says(root, "the force on x, from 'system.potential', is not finite where window 6 begins, at x = ");
    Job power;
    power.potential = "x^2.5 + x^2 + y^2";
    says(power, "'system.potential' is nan where window 0 begins, at x = -1.2, y = 0");
    // In double precision it has a value.
    Job steep;
    steep.potential = "x^30 + y^2";
    steep.more = initial("[100.0, 0.0]");
    says(steep, "the force on x, from 'system.potential', is beyond single precision");
    Job far;
    far.more = initial("[1e39, 0.0]");
    says(far, "x = 1e+39 is beyond single precision");
}

TEST_CASE("starts: drift and noise, and the states of the closure") {
    const std::string system = R"([system]
variables = ["x", "y"]
drift = ["-x", "-y + 1/y"]
diffusion = ["1", "0.5"]
[cv]
variables = ["x"]
[integrator]
scheme = "euler_maruyama"
dt = 1e-3
[umbrella]
from = -1
to = 1
windows = 3
stiffness = 4
)";
    const auto refusal = [](const std::string& text) -> std::string {
        try {
            check_run_config(text, "run.toml", {}, 1e300);
        } catch (const InputError& error) {
            return error.what();
        }
        return "";
    };
    CHECK(contains(refusal(system), "'system.drift[1]', the drift of y, is not finite where window 0"));
    CHECK(refusal(system + "initial = [0.0, 1.0]\n") == "");
    std::string noisy = system + "initial = [0.0, 0.0]\n";
    noisy.replace(noisy.find("-y + 1/y"), 8, "-y").replace(noisy.find("0.5"), 3, "sqrt(y - 1)");
    CHECK(contains(refusal(noisy), "the noise, 'system.diffusion', is not finite where window 0"));

    Job job;
    job.potential = "x^2 + 1/y^2";
    job.more = initial("[0.0, 1.0]") + "[estimate]\n[closure]\npassage_from = 0.0\npassage_to = [1.0]\n"
                                       "passage_state = [0.0, 0.0]\n";
    says(job, "key 'closure.passage_state': 'system.potential' is inf at x = 0, y = 0");
}

TEST_CASE("starts: the columns of a file stand in any order if they are named") {
    const auto dir = std::filesystem::temp_directory_path() / "microlift_test_starts";
    std::filesystem::create_directories(dir);
    const auto job = [&](const std::string& content) {
        write_file(dir / "start.csv", content);
        Job out;
        out.windows = "3";
        out.more = initial("\"" + (dir / "start.csv").string() + "\"");
        return out;
    };
    const auto states = [&](const std::string& content) {
        const RunConfig run = check_run_config(job(content).text(), "run.toml", {}, 1e300);
        const Model model(run);
        return given_states(run.umbrella, model, run.grid(), umbrella_centers(run.umbrella));
    };
    const std::vector<double> right{-1, 5, 0, 6, 1, 7};
    CHECK(states("-1,5\n0,6\n1,7\n") == right);
    CHECK(states("\xef\xbb\xbf-1,5\n0,6\n1,7\n") == right);
    CHECK(states("x,y\n-1,5\n0,6\n1,7\n") == right);
    CHECK(states("y,x\n5,-1\n6,0\n7,1\n") == right);
    CHECK(states("# y, x\n5,-1\n6,0\n7,1\n") == right);
    CHECK(states("# made by hand\n-1,5\n0,6\n1,7\n") == right);
    says(job("a,b\n-1,5\n"), "has the header a, b, the system the variables x, y");
    says(job("x,x\n-1,5\n"), "has the header x, x");
    says(job("x,y\n-1,nan\n0,6\n"), "line 2, column 2 is nan");
    says(job("x,y\n-1,1e39\n0,6\n"), "start.csv: line 2, column 2 is 1e39, beyond single precision");
    Job root = job("x,y\n-1,-5\n0,6\n");
    root.cvs = R"cv(["sqrt(y)"])cv";
    root.from = "0.5", root.to = "2";
    says(root, "at its state x = -1, y = -5 (row 0, counted from 0) the collective variable 'sqrt(y)' is");
    std::filesystem::remove_all(dir);
}

TEST_CASE("collective variables: samples that would cross the cut of an angle are refused") {
    Job job;
    job.more = initial("[1.0, 0.1]");
    const std::string turn = "{ formula = \"atan2(y,x)\", period = 6.283185307179586 }";
    job.cvs = "[" + turn + "]";
    job.from = "-2.9", job.to = "3.141592653589793";
    says(job, "has a cut at -3.14159");
    // All round there is no cut, but the jump has to be one of whole periods.
    job.from = "-3.141592653589793";
    CHECK(job.refusal() == "");
    job.cvs = "[{ formula = \"2*atan2(y,x) - atan2(x,y)\", period = 6.283185307179586 }]";
    CHECK(job.refusal() == "");
    for (const char* formula : {"0.5*atan2(y,x)", "atan2(y,x) + atan(y/x)", "x*atan2(y,x)"}) {
        CAPTURE(formula);
        job.cvs = "[{ formula = \"" + std::string(formula) + "\", period = 6.283185307179586 }]";
        says(job, "at a cut, which is no multiple of its period");
    }
    for (const char* formula : {"atan2(y,x)", "2*atan2(y,x)", "atan2(y,x) + 0.3", "-atan2(y,x)",
                                "0.2 - atan2(y,x)/2", "atan(y/x)", "atan2(y,x) + 0.1*x"}) {
        CAPTURE(formula);
        job.cvs = "[{ formula = \"" + std::string(formula) + "\", period = 13.0 }]";
        job.from = "-6.4", job.to = "6.4";
        says(job, "has a cut");
    }
    // With room on both sides; angles that have no cut, or that are variables themselves.
    job.cvs = "[" + turn + "]";
    job.from = "-2.4", job.to = "2.4";
    CHECK(job.refusal() == "");
    job.from = "-2.6";
    says(job, "has a cut");
    job.from = "0.3", job.to = "2.9";
    for (const char* formula : {"atan2(abs(y),x)", "sin(atan2(y,x))", "acos(x/sqrt(x^2+y^2))", "x + y"}) {
        CAPTURE(formula);
        job.cvs = "[\"" + std::string(formula) + "\"]";
        CHECK(job.refusal() == "");
    }
    job.cvs = "[{ formula = \"x\", period = 6.283185307179586 }]";
    job.from = "-3.141592653589793", job.to = "3.141592653589793";
    says(job, "but the system is not the same a period on");
    job.from = "-3.0", job.to = "3.0";
    CHECK(job.refusal() == "");
    job.potential = "cos(x) + 5*(y - sin(x))^2";
    job.from = "-3.141592653589793", job.to = "3.141592653589793";
    CHECK(job.refusal() == "");
}

TEST_CASE("collective variables: ends of an inverse sine or cosine are refused, with what to write") {
    Job job;
    job.more = initial("[0.5, 0.1]");
    job.from = "0.1", job.to = "3.0";
    for (const char* formula : {"acos(x/2)", "acos((x*y + y)/(sqrt(x^2+y^2)*sqrt(y^2+1)))", "2*acos(x/2)",
                                "asin(tanh(x)) + 1.5"}) {
        CAPTURE(formula);
        job.cvs = "[\"" + std::string(formula) + "\"]";
        says(job, "where its slope is infinite");
        says(job, "atan2(y, x)");
    }
    job.from = "1.2", job.to = "1.9";
    job.cvs = R"cv(["acos(x/2)"])cv";
    CHECK(job.refusal() == "");
}

TEST_CASE("collective variables: windows all round need a system that is the same a period on") {
    Job job;
    job.cvs = "[{ formula = \"x\", period = 6.283185307179586 }]";
    job.from = "-3.141592653589793", job.to = "3.141592653589793";
    for (const char* potential : {"cos(x)", "cos(3*x) + 20*(y - sin(x))^2", "1e-3*cos(x) + 10*y^2"}) {
        CAPTURE(potential);
        job.potential = potential;
        CHECK(job.refusal() == "");
    }
    job.potential = "cos(x) - 0.5*x";  // a work of pi kT
    says(job, "a work of 3.142 kT is done");
    for (const char* potential : {"cos(x) + cos(0.5*x)", "(x^2-1)^2", "cos(x) + 10*(y - sin(0.5*x))^2"}) {
        CAPTURE(potential);
        job.potential = potential;
        says(job, "its forces are others there");
    }
    // A part of the turn; a period of another number of digits; a multiple; one angle to another.
    job.from = "-2.0", job.to = "2.0";
    CHECK(job.refusal() == "");
    job.potential = "cos(x)";
    job.cvs = "[{ formula = \"x\", period = 6.283 }]";
    job.from = "-3.1415", job.to = "3.1415";
    CHECK(job.refusal() == "");
    job.cvs = "[{ formula = \"2*x + 1\", period = 12.566370614359172 }]";
    job.from = "0", job.to = "12.566370614359172";
    CHECK(job.refusal() == "");
    job.potential = "cos(x - y)";
    job.cvs = "[{ formula = \"x - y\", period = 6.283185307179586 }]";
    job.from = "0", job.to = "6.283185307179586";
    CHECK(job.refusal() == "");
}

TEST_CASE("collective variables: windows all round a curved one") {
    Job job;
    job.from = "-3.141592653589793", job.to = "3.141592653589793";
    const auto round = [&](const char* formula) {
        job.cvs = "[{ formula = \"" + std::string(formula) + "\", period = 6.283185307179586 }]";
    };
    job.potential = "cos(x) + 10*y^2";
    for (const char* right : {"x + 0.3*sin(x)", "x + 2*sin(x)", "x + 0.1*y^2", "0.1*sin(3*x) - x",
                              "atan2(sin(x), cos(x))"}) {
        CAPTURE(right);
        round(right);
        CHECK(job.refusal() == "");
    }
    // Not the same after any shift; never as far; another period; a period of which the system is not.
    for (const char* wrong : {"x^3", "sinh(x)", "sin(x)", "exp(x)", "x + 0.2*sin(1.5*x)", "x*y"}) {
        CAPTURE(wrong);
        round(wrong);
        says(job, "no shift of a variable changes it by its period");
    }
    job.potential = "(x^2-1)^2 + 10*y^2";
    round("x + 0.3*sin(x)");
    says(job, "its forces are others there");
    // Twice an angle takes opposite sides for one another.
    job.more = "initial = [1.0, 0.0]\n";
    round("2*atan2(y,x)");
    for (const char* right : {"20*(x^2+y^2-1)^2", "20*(x^2+y^2-1)^2 + x*y"}) {
        CAPTURE(right);
        job.potential = right;
        CHECK(job.refusal() == "");
    }
    job.potential = "20*(x^2+y^2-1)^2 + x";
    says(job, "which jumps by two of its periods");
    round("atan2(y,x)");
    CHECK(job.refusal() == "");
}

TEST_CASE("collective variables: two that depend on one another are refused") {
    Job job;
    job.from = "[-1, -1]", job.to = "[1, 1]", job.windows = "[3, 3]";
    for (const char* pair : {R"("x", "x")", R"("x", "2*x")", R"("x", "x^3")",
                             R"cv("x*y", "log(1+(x*y)^2)")cv",
                             R"("x - y", "0.5*y - 0.5*x")"}) {
        CAPTURE(pair);
        job.cvs = "[" + std::string(pair) + "]";
        says(job, "depend on one another");
    }
    for (const char* pair : {R"("x", "y")", R"("x", "x + 1e-3*y")", R"("x^2 + y^2", "x*y")",
                             R"cv("x", "exp(-(x^2+y^2))")cv"}) {
        CAPTURE(pair);
        job.cvs = "[" + std::string(pair) + "]";
        CHECK(job.refusal() == "");
    }
}

TEST_CASE("starts: a potential that is empty is one fault") {
    Job job;
    job.potential = "";
    says(job, "key 'system.potential' must be a string");
}

TEST_CASE("starts: a temperature in another unit than the potential") {
    Job job;
    const std::string right = job.text();
    for (const auto& [beta, refused] : {std::pair{"1e-30", true}, std::pair{"1e-7", true},
                                        std::pair{"1e-3", false}}) {
        CAPTURE(beta);
        RunOptions options;
        options.set = {std::string("system.beta=") + beta};
        std::string message;
        try {
            check_run_config(right, "run.toml", options, 1e300);
        } catch (const InputError& error) {
            message = error.what();
        }
        CHECK(contains(message, "key 'system.beta' means kT = ") == refused);
    }
}

TEST_CASE("starts: numbers that single precision does not hold") {
    const auto refusal = [](const std::string& change) {
        RunOptions options;
        options.set = {change};
        try {
            check_run_config(Job().text(), "run.toml", options, 1e300);
        } catch (const InputError& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    for (const char* change : {"system.beta=5e-324", "system.beta=1e39", "integrator.dt=1e-60",
                               "umbrella.stiffness=1e40", "umbrella.to=1e39"}) {
        const std::string key = std::string(change).substr(0, std::string(change).find('='));
        const std::string message = refusal(change);
        CAPTURE(message);
        CHECK(contains(message, "key '" + key + "' is"));
        CHECK(contains(message, "beyond single precision"));
        CHECK(!contains(message, "\n"));
    }
}
