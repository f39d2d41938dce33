#include "config/yaml_document.h"

#include <yaml-cpp/eventhandler.h>

#include <sstream>

#include "config/yaml_lines.h"

namespace imapmux::config {

namespace {

Place place_of(const YAML::Mark& mark, const std::string& file) {
  if (mark.is_null()) return {.file = file};
  return {.file = file, .line = mark.line + 1, .column = mark.column + 1};
}

// Remembers where the latest document begins, and nothing else.
class DocumentMarks : public YAML::EventHandler {
 public:
  const YAML::Mark& content() const { return content_; }

  void OnDocumentStart(const YAML::Mark& mark) override { content_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& /*mark*/, YAML::anchor_t /*anchor*/) override {}
  void OnAlias(const YAML::Mark& /*mark*/, YAML::anchor_t /*anchor*/) override {}
  void OnScalar(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                const std::string& /*value*/) override {}
  void OnSequenceStart(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                       YAML::EmitterStyle::value /*style*/) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {}
  void OnMapEnd() override {}

 private:
  YAML::Mark content_;
};

// yaml-cpp's Load stops in silence where the first document ends, which may be a stray bracket in the middle
// of the file; its LoadAll does not return from such text. So the documents are counted first, and at most
// two of them.
bool is_one_document(const std::string& text, const std::string& file, Problems& problems) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentMarks marks;
  if (!parser.HandleNextDocument(marks) || !parser.HandleNextDocument(marks)) return true;
  problems.error(place_of(marks.content(), file),
                 "the document ends before this: a stray bracket or a second document");
  return false;
}

}  // namespace

std::optional<YAML::Node> parse_document(std::string_view text, const std::string& file, Problems& problems) {
  for (const auto& find : {find_bad_character, find_tab}) {
    if (const auto fault = find(text)) {
      problems.error({file, fault->line, fault->column}, fault->message);
      return std::nullopt;
    }
  }
  try {
    const std::string copy(text);
    if (!is_one_document(copy, file, problems)) return std::nullopt;
    return YAML::Load(copy);
  } catch (const YAML::Exception& error) {
    if (const auto fault = find_unclosed(text)) {
      problems.error({file, fault->line, fault->column}, fault->message);
    } else {
      problems.error(place_of(error.mark, file), "not valid YAML: " + error.msg);
    }
    return std::nullopt;
  }
}

}  // namespace imapmux::config
