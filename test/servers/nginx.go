package servers

import "strings"

// Nginx changes a configuration of nginx, which begins a line with "http {", so that it runs
// in the foreground, without rights, and leaves nothing outside of dir. With [NginxArgs].
func Nginx(dir, config string) string {
	return strings.Replace("daemon off;\nmaster_process off;\nerror_log stderr;\npid "+dir+"/pid;\n"+config, "http {\n", "http {\n"+
		"access_log off;\nclient_body_temp_path "+dir+"/body;\nproxy_temp_path "+dir+"/proxy;\nfastcgi_temp_path "+dir+"/fastcgi;\nuwsgi_temp_path "+dir+"/uwsgi;\nscgi_temp_path "+dir+"/scgi;\n", 1)
}

// NginxArgs are the arguments of nginx for the configuration in a file.
func NginxArgs(dir, file string) []string { return []string{"-e", "stderr", "-p", dir, "-c", file} }
