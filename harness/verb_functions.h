// What each verb_<name>.cc provides.
#pragma once

#include "harness/verbs.h"

namespace rattn {

void AddDoctor(CLI::App& app, Action* action);
void AddList(CLI::App& app, Action* action);
void AddPlan(CLI::App& app, Action* action);
void AddSweep(CLI::App& app, Action* action);
void AddApply(CLI::App& app, Action* action);
void AddBench(CLI::App& app, Action* action);
void AddSpeed(CLI::App& app, Action* action);
void AddMask(CLI::App& app, Action* action);
void AddMemory(CLI::App& app, Action* action);
void AddRoofline(CLI::App& app, Action* action);
void AddRuler(CLI::App& app, Action* action);
void AddReport(CLI::App& app, Action* action);
void AddCompare(CLI::App& app, Action* action);
void AddTrain(CLI::App& app, Action* action);
void AddEval(CLI::App& app, Action* action);
void AddGenerate(CLI::App& app, Action* action);
void AddTokenize(CLI::App& app, Action* action);
void AddCell(CLI::App& app, Action* action);

}  // namespace rattn
