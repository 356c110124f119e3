@echo off
rem Windows: a double click. Any Python 3 begins; install.py then looks for one that fits.
cd /d "%~dp0"
where py >nul 2>nul
if %errorlevel%==0 (py -3 install.py %*) else (python install.py %*)
pause
