// A sweep config \f what stands after --set.
#include "fuzz/fuzz.h"
#include "harness/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rattn;
  const auto sections = Sections(InputText(data, size));
  Untrusted([&] {
    PlanOptions options;
    for (size_t i = 1; i < sections.size(); ++i) {
      options.set.push_back(ParseChoice(std::string(sections[i]), "--set"));
    }
    MakePlan(ParseJsonText(sections[0], "sweep.json"), "sweep.json", options);
  });
  return 0;
}
