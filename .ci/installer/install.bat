@echo off
rem Windows: a double click. Any Python 3 begins; install.py then looks for one that fits.
where py >nul 2>nul
if %errorlevel%==0 (py -3 "%~dp0install.py" %*) else (python "%~dp0install.py" %*)
if errorlevel 9009 echo There is no Python here. Install Python 3.11, 3.12 or 3.13: https://www.python.org/downloads/
pause
