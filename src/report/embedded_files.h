// The page's parts, built in from files at configure time (CMakeLists.txt).
#ifndef THERMOCLINE_REPORT_EMBEDDED_FILES_H_
#define THERMOCLINE_REPORT_EMBEDDED_FILES_H_

namespace thermocline::report {

extern const char kPageHtml[];
extern const char kPageCss[];
extern const char kPageJs[];
extern const char kChartJs[];

}  // namespace thermocline::report

#endif  // THERMOCLINE_REPORT_EMBEDDED_FILES_H_
