# cmake -DPAGE=dashboard.html -DTO=dashboard_page.cc -P embed.cmake: a page as a constant of the program.
file(READ "${PAGE}" text)
file(WRITE "${TO}" "#include \"admin/dashboard.h\"\n\nconst std::string_view imapmux::admin::kDashboardPage = R\"imapmux(${text})imapmux\";\n")
