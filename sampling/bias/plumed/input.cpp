#include "sampling/bias/plumed/input.h"

#include <algorithm>
#include <optional>

#include "engine/error.h"

namespace microlift {

namespace {

constexpr const char* kContinued = "...";

// The words of one line and of those that continue it.
class PlumedLines {
public:
    PlumedLines(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

    // One statement after another; empty at the end.
    std::vector<PlumedWord> next() {
        words_.clear();
        opened_.reset();
        while (more_) {
            const std::size_t before = words_.size();
            if (read_line(before)) break;
            if (!opened_ && !words_.empty()) break;
        }
        if (opened_)
            refuse(*opened_, "the lines that '...' continues end nowhere",
                   "end them by a line '...', or '... " + printable(words_.empty() ? "" : words_[0].text, 40) + "'");
        return std::move(words_);
    }

private:
    ConfigOrigin here() const { return {file_, line_, column_}; }

    // Whether it ended the statement.
    bool read_line(std::size_t before) {
        const std::size_t end = std::min(text_.find('\n', from_), text_.size());
        std::string_view line = text_.substr(from_, end - from_);
        more_ = end < text_.size();
        from_ = end + 1;
        ++line_;
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        line = line.substr(0, line.find('#'));
        split(line);
        if (words_.size() == before && !merge_) return false;
        if (brace_ && !opened_)
            refuse(*brace_, "the brace '{' is not closed on its line", "close it, or continue the line by '...'");
        if (brace_) return false;
        if (opened_ && words_.size() > before && words_[before].text == kContinued) return end_continued(before);
        if (words_.size() > before && words_.back().text == kContinued) {
            if (words_.size() == 1)
                refuse(words_[0].origin, "a line '...' stands where nothing is continued", "leave it out");
            if (!opened_) opened_ = words_.back().origin;
            words_.pop_back();
        }
        return false;
    }

    // "..." or "... METAD".
    bool end_continued(std::size_t before) {
        if (words_.size() > before + 2)
            refuse(words_[before + 2].origin, "a line '...' that ends an action says more than its name",
                   "put that before it");
        if (words_.size() == before + 2) {
            const auto named = std::min<std::size_t>(before, 2);
            const bool own = std::any_of(words_.begin(), words_.begin() + static_cast<std::ptrdiff_t>(named),
                                         [&](const PlumedWord& word) { return word.text == words_[before + 1].text; });
            if (!own)
                refuse(words_[before + 1].origin,
                       "the line '...' ends '" + printable(words_[before + 1].text, 40) + "', and what is open is '" +
                           printable(before > 0 ? words_[0].text : "", 40) + "'",
                       "give that name, or '...' alone");
        }
        words_.resize(before);
        opened_.reset();
        return true;
    }

    void split(std::string_view line) {
        bool inside = brace_.has_value();
        merge_ = inside;
        if (inside && !words_.empty()) words_.back().text += ' ';
        bool word = inside;
        for (std::size_t i = 0; i < line.size(); ++i) {
            column_ = static_cast<int>(i) + 1;
            const char c = line[i];
            const bool blank = c == ' ' || c == '\t' || c == '\v' || c == '\f';
            if (!blank && (c < '!' || c > '~'))
                refuse(here(), "there is a character outside of ASCII, and it is in no comment", "write ASCII");
            if (c == '{') {
                if (!word) begin(word);
                if (depth_++ == 0) {
                    brace_ = here();
                    continue;
                }
            } else if (c == '}') {
                if (depth_ == 0) refuse(here(), "there is a brace '}' that nothing opened", "leave it out");
                if (--depth_ == 0) {
                    brace_.reset();
                    continue;
                }
            } else if (blank && depth_ == 0) {
                word = false;
                continue;
            } else if (!word) {
                begin(word);
            }
            words_.back().text += blank ? ' ' : c;
        }
    }
    void begin(bool& word) {
        words_.push_back({"", here()});
        word = true;
    }

    std::string_view text_;
    std::string file_;
    std::size_t from_ = 0;
    int line_ = 0, column_ = 0, depth_ = 0;
    bool more_ = true, merge_ = false;
    std::vector<PlumedWord> words_;
    std::optional<ConfigOrigin> opened_, brace_;
};

bool is_action_name(const std::string& text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
}

PlumedAction action_of(std::vector<PlumedWord> words) {
    PlumedAction action;
    std::size_t first = 0;
    if (words[0].text.size() > 1 && words[0].text.back() == ':') {
        action.label = words[0].text.substr(0, words[0].text.size() - 1);
        action.label_origin = words[0].origin;
        if (++first == words.size())
            refuse(words[0].origin, "there is a label without an action",
                   "write for example phi: TORSION ATOMS=5,7,9,15");
    }
    action.name = words[first].text;
    action.origin = words[first].origin;
    if (!is_action_name(action.name))
        refuse(action.origin, "'" + printable(action.name, 40) + "' is no action of PLUMED",
               "begin a line by an action, or by its label and a colon");
    for (std::size_t i = first + 1; i < words.size(); ++i) {
        PlumedWord& word = words[i];
        if (!word.text.starts_with("LABEL=")) {
            action.words.push_back(std::move(word));
            continue;
        }
        if (!action.label.empty()) refuse(word.origin, "the action has two labels", "leave one of them out");
        action.label = word.text.substr(6);
        action.label_origin = word.origin;
        if (action.label.empty()) refuse(word.origin, "the label is empty", "give one, or leave LABEL out");
    }
    return action;
}

}  // namespace

std::vector<PlumedAction> read_plumed_actions(std::string_view text, const std::string& file) {
    PlumedLines lines(text, file);
    std::vector<PlumedAction> actions;
    for (;;) {
        std::vector<PlumedWord> words = lines.next();
        if (words.empty()) return actions;
        PlumedAction action = action_of(std::move(words));
        if (action.name == "ENDPLUMED") return actions;
        actions.push_back(std::move(action));
    }
}

}  // namespace microlift
